import Foundation
import HoldfastModel
import Testing

/// Starts on a state directory that is not as it was left.
@Suite(.serialized)
struct Starts {
    @Test func `a master key that cannot be read is never written over`() throws {
        let installation = try Installation()
        defer { installation.end() }
        let keys = "\(installation.home)/keys"
        try FileManager.default.createDirectory(atPath: keys, withIntermediateDirectories: true)
        // A disk that gives other bytes back; the catalogue is gone too, as on a machine that is being put back.
        let damaged = Data([0xff, 0xfe, 0x80, 0x81])
        try damaged.write(to: URL(fileURLWithPath: "\(keys)/master.key"))
        #expect(throws: Unexpected.self) { try installation.start() }
        #expect(FileManager.default.contents(atPath: "\(keys)/master.key") == damaged)
        #expect(installation.tail("serve.log").contains("master key"), "\(installation.tail("serve.log"))")
        try FileManager.default.removeItem(atPath: "\(keys)/master.key")
        try installation.start()
        let mode = try FileManager.default.attributesOfItem(atPath: "\(keys)/master.key")[.posixPermissions] as? Int
        #expect(mode == 0o600)
    }

    @Test func `a project whose Git repository is broken keeps nobody from the others`() throws {
        let installation = try Installation()
        defer { installation.end() }
        try installation.start()
        try installation.createProject()
        let broken = installation.project
        try installation.createProject()
        let unfinished = installation.project
        try installation.createProject()
        installation.killServer()
        func repository(_ project: String) -> String { "\(installation.home)/projects/\(project)/repository.git" }
        try FileManager.default.removeItem(atPath: "\(repository(broken))/HEAD")
        try FileManager.default.removeItem(atPath: "\(repository(broken))/objects")
        // As if the machine had died while it was made.
        try FileManager.default.removeItem(atPath: repository(unfinished))
        try installation.start()
        #expect(try installation.must("project:list", "--format", "plain").contains(broken))
        #expect(installation.tail("serve.log").contains(broken), "\(installation.tail("serve.log"))")
        #expect(try installation.push().status == 0)
        #expect(try installation.get("version").output == "1\n")
        // Nothing had been pushed to it, so it is made again, and takes a push.
        let head = try Installation.run(
            "/usr/bin/git",
            ["-C", "\(installation.home)/checkout", "push", repository(unfinished), "HEAD:refs/heads/main"],
            environment: ["HOLDFAST_HOME": installation.home])
        #expect(head.status == 0, "\(head.errors)")
    }
}
