import Foundation
import Glibc
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

@Suite(.serialized) struct HostileTests {
    private func node(_ name: String, _ type: String = "file", _ more: String = "\"content\":[]") -> String {
        """
        {"name":"\(name)","type":"\(type)","mode":420,"mtime":"2026-01-01T00:00:00Z",\
        "atime":"2026-01-01T00:00:00Z","ctime":"2026-01-01T00:00:00Z","uid":0,"gid":0,\(more)}
        """
    }

    private func snapshot(_ test: TestRepository, _ nodes: [String]) throws -> SnapshotID {
        let session = try test.repository.beginBackup()
        let tree = "{\"nodes\":[\(nodes.joined(separator: ","))]}"
        return try session.finish(rawTree: Array(tree.utf8), TestRepository.info())
    }

    @Test func `names that lead elsewhere are refused and named, and nothing is written outside`() throws {
        let directory = try ScratchFolder()
        let test = try TestRepository(directory)
        let names = [
            "../escaped", "..", ".", "", "/etc/holdfast-test", "a/b", "sub/../../x", "nul\\\\x00byte",
            String(repeating: "x", count: 300),
        ]
        let id = try snapshot(test, names.map { node($0) } + [node("good")])
        try makeDirectory(directory("inner"))
        let report = try test.repository.restore(TreePath(id), to: directory("inner/out"))
        #expect(report.problems.count == names.count && report.files == 1)
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory("inner")) == ["out"])
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory("inner/out")) == ["good"])
        #expect(!FileManager.default.fileExists(atPath: "/etc/holdfast-test"))
        #expect(try test.repository.check(readData: true).problems.count >= names.count)
    }

    @Test func `a link and a directory of one name cannot lead out`() throws {
        let directory = try ScratchFolder()
        let test = try TestRepository(directory)
        try makeDirectory(directory("outside"))
        let inner = try snapshot(test, [node("file")])
        let tree = try test.repository.snapshot(inner).tree
        let link = node("way", "symlink", "\"linktarget\":\"\(directory("outside"))\",\"content\":null")
        let folder = node("way", "dir", "\"content\":null,\"subtree\":\"\(tree)\"")
        for (number, nodes) in [[link, folder], [folder, link]].enumerated() {
            let id = try snapshot(test, nodes)
            let report = try test.repository.restore(TreePath(id), to: directory("out\(number)"))
            #expect(report.problems.map(\.path) == ["way"])
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory("outside")).isEmpty)
        }
    }

    @Test func `a link put in the way of a running restore is refused and named`() throws {
        let directory = try ScratchFolder()
        var generator = SeededGenerator(seed: 52)
        let store = FaultyBlobStore(MemoryBlobStore())
        let repository = try Repository.create(store: store, password: TestRepository.password)
        try makeDirectory(directory("data/sub"))
        try makeDirectory(directory("outside"))
        try writeFile(directory("data/sub/file"), generator.bytes(10_000))
        try writeFile(directory("data/other"), generator.bytes(10_000))
        let session = try repository.beginBackup()
        try session.capture(directory("data"), as: "/data")
        let finished = try session.finish(TestRepository.info())
        let trap = directory("out/sub")
        let outside = directory("outside")
        // The trees are read before anything is made: the first read after it finds the directory made.
        store.setScript([
            Fault(
                .run {
                    if rmdir(trap) == 0 { symlink(outside, trap) }
                }, on: [.get], of: [.data])
        ])
        let report = try repository.restore(TreePath(finished.id, path: "/data"), to: directory("out"))
        #expect(report.problems.map(\.path).contains("sub/file"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: outside).isEmpty)
        #expect(FileManager.default.fileExists(atPath: directory("out/other")))
    }

    @Test func `a restore never writes over what is there`() throws {
        let directory = try ScratchFolder()
        let test = try TestRepository(directory)
        let id = try snapshot(test, [node("file")])
        try makeDirectory(directory("full"))
        try writeFile(directory("full/mine"), "mine")
        let error = #expect(throws: HoldfastError.self) {
            try test.repository.restore(TreePath(id), to: directory("full"))
        }
        #expect(error?.code == .conflict)
        symlink(directory("full"), directory("link"))
        #expect(throws: HoldfastError.self) { try test.repository.restore(TreePath(id), to: directory("link")) }
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory("full")) == ["mine"])
    }

    @Test func `paths of a backup's tree cannot climb`() throws {
        let directory = try ScratchFolder()
        try makeDirectory(directory("data"))
        let test = try TestRepository(directory)
        for path in ["/", "", "/a/../b", "/.", "a/.."] {
            let session = try test.repository.beginBackup()
            #expect(throws: HoldfastError.self, "\(path)") { try session.capture(directory("data"), as: path) }
            session.abandon()
        }
    }

    @Test(.enabled(if: geteuid() == 0, "only root may give files away"))
    func `files restored for another owner all belong to him`() throws {
        let directory = try ScratchFolder()
        var generator = SeededGenerator(seed: 55)
        try RandomTree.makeZoo(directory("data"), using: &generator)
        let test = try TestRepository(directory)
        let finished = try test.backUp(directory("data")).finished
        let report = try test.repository.restore(
            TreePath(finished.id, path: "/data"), to: directory("out"),
            options: RestoreOptions(owner: FileOwner(user: 4321, group: 1234)))
        #expect(report.problems == [])
        #expect(try facts(of: directory("out")).values.allSatisfy { $0.user == 4321 && $0.group == 1234 })
    }

    @Test func `damaged JSON is an error, not a crash`() throws {
        let directory = try ScratchFolder()
        let test = try TestRepository(directory)
        let good = "{\"nodes\":[\(node("a")),\(node("b", "dir", "\"subtree\":null"))]}"
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<60 {
            var bytes = Array(good.utf8)
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let index = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: bytes[index] = UInt8.random(in: 0...255, using: &generator)
                case 1: bytes.removeSubrange(index...)
                default: bytes.insert(UInt8(ascii: "{"), at: index)
                }
                if bytes.isEmpty { bytes = [0] }
            }
            let session = try test.repository.beginBackup()
            let id = try session.finish(rawTree: bytes, TestRepository.info())
            do {
                _ = try test.repository.list(id)
            } catch {
                #expect((error as? HoldfastError)?.code == .damaged, "seed \(seed): \(error)")
            }
        }
    }
}
