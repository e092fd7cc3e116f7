import Foundation
import HoldfastEnvironments
import HoldfastModel
import Testing

struct MountLinksTests {
    private func app(_ home: ScratchHome, number: Int = 1) throws -> String {
        let directory = "\(home.layout.directory)/apps/ledger/\(number)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        return directory
    }

    private func links(_ home: ScratchHome, _ mounts: [String: String], number: Int = 1) -> MountLinks {
        MountLinks(
            layout: home.layout, user: .current, app: "ledger", appDirectory: "apps/ledger/\(number)", mounts: mounts)
    }

    @Test func `a mount is a relative link that leads to its directory`() throws {
        let home = try ScratchHome()
        let directory = try app(home)
        let mounts = ["files": "mounts/ledger/files/1", "var/deep/cache": "mounts/ledger/tmp=x/4"]
        try links(home, mounts).make()
        let manager = FileManager.default
        #expect(try manager.destinationOfSymbolicLink(atPath: directory + "/files") == "../../../mounts/ledger/files/1")
        try Data("x".utf8).write(to: URL(fileURLWithPath: directory + "/var/deep/cache/note"))
        #expect(manager.fileExists(atPath: "\(home.layout.directory)/mounts/ledger/tmp=x/4/note"))
        // Once more changes nothing.
        try links(home, mounts).make()
        #expect(try manager.contentsOfDirectory(atPath: directory).sorted() == ["files", "var"])
    }

    @Test func `a switch replaces the link of the older data`() throws {
        let home = try ScratchHome()
        let directory = try app(home)
        try links(home, ["files": "mounts/ledger/files/1"]).make()
        try links(home, ["files": "mounts/ledger/files/2"]).make()
        let target = try FileManager.default.destinationOfSymbolicLink(atPath: directory + "/files")
        #expect(target == "../../../mounts/ledger/files/2")
    }

    @Test func `an empty folder in its place gives way`() throws {
        let home = try ScratchHome()
        let directory = try app(home)
        mkdir(directory + "/files", 0o755)
        try links(home, ["files": "mounts/ledger/files/1"]).make()
        #expect((try? FileManager.default.destinationOfSymbolicLink(atPath: directory + "/files")) != nil)
    }

    @Test(arguments: [
        "", "/", "..", "../other", "a/../../b", "/etc/cron.d", "a//b", "./a", "a/", "a\nb", "x/..",
    ])
    func `a path that is not a plain one inside of the app is refused`(_ path: String) throws {
        let home = try ScratchHome()
        _ = try app(home)
        let error = #expect(throws: HoldfastError.self) { try links(home, [path: "mounts/ledger/files/1"]).make() }
        #expect(error?.code == .invalidInput)
    }

    @Test(arguments: ["/etc", "apps/ledger/1", "mounts/../../../etc", "services/db/1", "mounts//x"])
    func `a target that is no mount is refused`(_ target: String) throws {
        let home = try ScratchHome()
        let directory = try app(home)
        #expect(throws: HoldfastError.self) { try links(home, ["files": target]).make() }
        #expect(access(directory + "/files", F_OK) != 0)
    }

    @Test func `files, folders with content and links of others stay, and the app does not start`() throws {
        let home = try ScratchHome()
        let directory = try app(home)
        let outside = home.path + "/outside"
        mkdir(outside, 0o755)
        try Data("x".utf8).write(to: URL(fileURLWithPath: directory + "/file"))
        mkdir(directory + "/full", 0o755)
        try Data("x".utf8).write(to: URL(fileURLWithPath: directory + "/full/note"))
        symlink(outside, directory + "/link")
        symlink("../../../mounts/../../../outside", directory + "/trick")
        for path in ["file", "full", "link", "trick"] {
            let error = #expect(throws: HoldfastError.self) { try links(home, [path: "mounts/ledger/files/1"]).make() }
            #expect(error?.message.contains("'\(path)'") == true)
        }
        #expect(access(directory + "/full/note", F_OK) == 0)
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: directory + "/link") == outside)
        #expect(try FileManager.default.contentsOfDirectory(atPath: outside).isEmpty)
    }

    @Test func `a link on the way is not followed`() throws {
        let home = try ScratchHome()
        let directory = try app(home)
        let outside = home.path + "/outside"
        mkdir(outside, 0o755)
        symlink(outside, directory + "/var")
        #expect(throws: HoldfastError.self) { try links(home, ["var/cache": "mounts/ledger/files/1"]).make() }
        #expect(throws: HoldfastError.self) { try links(home, ["var/a/b": "mounts/ledger/files/1"]).make() }
        #expect(try FileManager.default.contentsOfDirectory(atPath: outside).isEmpty)
    }

    @Test func `an app's directory that is a link is not entered`() throws {
        let home = try ScratchHome()
        let outside = home.path + "/outside"
        mkdir(outside, 0o755)
        mkdir("\(home.layout.directory)/apps/ledger", 0o755)
        symlink(outside, "\(home.layout.directory)/apps/ledger/1")
        #expect(throws: HoldfastError.self) { try links(home, ["files": "mounts/ledger/files/1"]).make() }
        #expect(try FileManager.default.contentsOfDirectory(atPath: outside).isEmpty)
    }
}
