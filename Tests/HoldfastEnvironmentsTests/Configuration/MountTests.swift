import Foundation
import HoldfastEnvironments
import HoldfastTestSupport
import Testing

struct MountTests {
    @Test(arguments: [
        ("files", "files"), ("/files", "files"), ("files/", "files"), ("//a///b/", "a/b"), ("./a/./b", "a/b"),
        ("/var/cache", "var/cache"), ("etc", "etc"), ("..a/b..", "..a/b.."), ("ä ö", "ä ö"),
    ])
    func `a path inside of the app is made relative`(text: String, path: String) throws {
        #expect(try MountPath.mount(text) == path)
    }

    @Test(arguments: [
        "", "/", ".", "//", "./.", "..", "../x", "/../x", "a/..", "a/../../x", "/etc/x", "//proc", "/root", "a\u{0}b",
        "a\nb", String(repeating: "a", count: 256), String(repeating: "a/", count: 600),
    ])
    func `a path that leaves the app, or is none, is refused`(text: String) {
        #expect(throws: MountPath.Refusal.self) { try MountPath.mount(text) }
    }

    @Test func `no path of random parts ever normalises to one that leaves the app`() {
        var generator = SeededGenerator(seed: 11)
        let parts = ["..", ".", "", "a", "..a", "/", "etc", "\u{0}", "b/..", "~", "-", " "]
        for _ in 0..<5000 {
            let count = Int.random(in: 0...6, using: &generator)
            let text = (0..<count).map { _ in parts.randomElement(using: &generator) ?? "" }.joined(separator: "/")
            guard let path = try? MountPath.mount(text) else { continue }
            let components = path.components(separatedBy: "/")
            #expect(!components.contains("..") && !components.contains("") && !components.contains("."))
            #expect((try? MountPath.mount(path)) == path)
        }
    }

    @Test func `different storage gets different directories, and the same storage one`() throws {
        let paths = ["files", "a/b", "a+b", "a~2Fb", "a.b", ".a", "A", "a b", "ä", "tmp=x", "=", "a=b"]
        var slugs = Set(paths.map { MountConfiguration(source: .storage, sourcePath: $0).slug })
        slugs.formUnion(paths.map { MountConfiguration(source: .tmp, sourcePath: $0).slug })
        slugs.insert(MountConfiguration(source: .storage, sourcePath: "").slug)
        #expect(slugs.count == paths.count * 2 + 1)
        #expect(slugs.allSatisfy { !$0.contains("/") && !$0.hasPrefix(".") && $0.utf8.count < 200 })
        let configuration = try EnvironmentConfiguration.parse(ConfigurationSamples.full)
        let placements = configuration.mountPlacements()
        #expect(
            placements.map { "\($0.app) \($0.path) \($0.directoryPrefix)" } == [
                "ledger files mounts/ledger/files", "ledger local mounts/ledger/instance=local",
                "ledger shared mounts/other/uploads+all", "ledger var/cache mounts/ledger/tmp=var+cache",
            ])
    }

    @Test func `a mount inside of another one is refused, unless it shows the same files anyway`() throws {
        let collides = ConfigurationSamples.app(
            "mounts:\n  files/cache: {source: tmp}\n  files: {source: storage}")
        #expect(
            ConfigurationSamples.refusal(collides)
                == "c.yaml:5: applications.a.mounts.'files/cache': found a mount that overlaps 'files' of line 6, "
                + "expected mounts whose folders lie beside each other")
        let twice = ConfigurationSamples.app("mounts:\n  files: {source: storage}\n  /files/: {source: storage}")
        #expect(ConfigurationSamples.refusal(twice)?.contains("overlaps 'files'") == true)
        let nested = ConfigurationSamples.app(
            "mounts:\n  one: {source: storage, source_path: x}\n  two: {source: storage, source_path: x/y}")
        #expect(ConfigurationSamples.refusal(nested)?.contains("overlaps 'one'") == true)
        let same = ConfigurationSamples.app(
            "mounts:\n  one: {source: storage, source_path: x}\n  two: {source: storage, source_path: x}")
        #expect(try EnvironmentConfiguration.parse(same).applications["a"]?.mounts.count == 2)
        let redundant = ConfigurationSamples.app(
            "mounts:\n  files/cache: {source: storage}\n  files: {source: storage}")
        #expect(try EnvironmentConfiguration.parse(redundant).applications["a"]?.mounts.keys.sorted() == ["files"])
        #expect(
            try ConfigurationSamples.warnings(redundant) == [
                "c.yaml:5: applications.a.mounts.'files/cache' has no effect: it lies in another mount already"
            ])
    }

    @Test(arguments: [
        ("m: {source: service}", "found nothing, expected the name of a network storage service"),
        ("m: {source: service, service: nfs}", "found 'nfs', expected a service of this file"),
        ("m: {source: storage, service: b}", "found 'b', expected an application of this file: a"),
        ("m: {source: tmp, service: a}", "found 'a', expected no 'service' with the source tmp"),
        ("m: {source: storage, source_path: /etc}", "expected a path that is relative to the storage"),
        ("m: {source: storage, source_path: ../../x}", "expected a path that does not leave its folder by '..'"),
        ("m: {}", "found nothing, expected storage, instance, tmp or service"),
        ("m: storage", "found 'storage', expected a map with 'source'"),
        ("m:", "found nothing, expected a map with 'source'"),
    ])
    func `a mount that cannot be is refused with the reason`(mount: String, expected: String) {
        let message = ConfigurationSamples.refusal(ConfigurationSamples.app("mounts:\n  \(mount)")) ?? "accepted"
        #expect(message.hasPrefix("c.yaml:5: applications.a.mounts"), "\(message)")
        #expect(message.contains(expected), "\(message)")
        #expect(!message.contains("\n"))
    }
}
