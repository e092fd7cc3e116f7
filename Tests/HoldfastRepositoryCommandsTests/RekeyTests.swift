import Foundation
import Glibc
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

/// New keys and passwords: what becomes of the old ones, and what is refused or cut short.
@Suite(.serialized) struct RekeyTests {
    @Test func `rekey leaves the same snapshots under a new key, and the old repository beside it`() throws {
        let both = try Both.filled()
        try both.place.write("new", "fresh\n")
        let before = both.expect("snapshots", "--json").json as? [NSDictionary] ?? []
        let oldID = (try both.restic("cat", "config").json as? NSDictionary)?["id"] as? String
        both.expect("rekey", "--new-password-file", both.place("new"))
        #expect(both.ours("snapshots").status == 12)
        var fresh = both
        fresh.password = "fresh"
        try fresh.restic("check", "--read-data")
        let after = fresh.expect("snapshots", "--json").json as? [NSDictionary] ?? []
        #expect(after.map { normal($0["tree"]) } == before.map { normal($0["tree"]) })
        #expect(after.map { normal($0["time"]) } == before.map { normal($0["time"]) })
        #expect((try fresh.restic("cat", "config").json as? NSDictionary)?["id"] as? String != oldID)
        #expect((try fresh.restic("list", "locks").out).isEmpty)
        let old = try run(
            "/usr/bin/restic", ["--no-cache", "-r", both.path + ".rekey", "check"], ["RESTIC_PASSWORD": both.password])
        #expect(old.status == 0, "\(old.error)")
        #expect(fresh.ours("rekey", "--new-password-file", both.place("new")).status == 1)
    }

    @Test func `rekey through a link leaves the link, and gives the folder behind it a new key`() throws {
        let both = try Both.filled()
        try both.place.write("new", "fresh\n")
        symlink(both.path, both.place("way"))
        var linked = both.variables
        linked["RESTIC_REPOSITORY"] = both.place("way")
        let outcome = holdfast(["rekey", "--new-password-file", both.place("new")], linked)
        #expect(outcome.status == 0, "\(outcome.error)")
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: both.place("way")) == both.path)
        #expect(!both.place.exists("way.rekey") && both.place.exists("repository.rekey"))
        for path in [both.path, both.place("way")] {
            let check = try run(
                "/usr/bin/restic", ["--no-cache", "-r", path, "check"], ["RESTIC_PASSWORD": "fresh"])
            #expect(check.status == 0, "\(check.error)")
        }
        let old = try run(
            "/usr/bin/restic", ["--no-cache", "-r", both.path + ".rekey", "check"], ["RESTIC_PASSWORD": both.password])
        #expect(old.status == 0, "\(old.error)")
    }

    @Test func `rekey leaves everything as it was if its lock is lost meanwhile`() throws {
        let both = try Both.filled()
        try both.place.write("new", "fresh\n")
        let before = both.snapshots()
        let clock = MeddlingTime.stealing(from: both)
        let outcome = holdfast(["rekey", "--new-password-file", both.place("new")], both.variables, time: clock)
        #expect(clock.hasMeddled && outcome.status == 11, "\(outcome)")
        #expect(!both.place.exists("repository.rekey"))
        #expect(both.snapshots() == before)
        try both.restic("check", "--read-data")
    }

    @Test func `a new password leaves the old one if its lock is lost meanwhile`() throws {
        let both = try Both.filled()
        try both.place.write("new", "fresh\n")
        let clock = MeddlingTime.stealing(from: both)
        let arguments = ["key", "passwd", "--new-password-file", both.place("new")]
        let outcome = holdfast(arguments, both.variables, time: clock)
        #expect(clock.hasMeddled && outcome.status == 11, "\(outcome)")
        #expect(both.snapshots().count == 3)
        #expect((both.expect("key", "list", "--json").json as? [NSDictionary])?.count == 2)
    }

    @Test func `on the site of a project no key is replaced or removed, and nothing is changed`() throws {
        let both = try Both.filled()
        try both.place.write("new", "fresh\n")
        both.expect("key", "add", "--new-password-file", both.place("new"))
        let store = FileBlobStore(root: both.path)
        try store.put(BlobSamples.name(.record, 1), [1, 2, 3])
        let names = { Set(try BlobKind.allCases.flatMap { try store.list($0) }) }
        let before = try names()
        let keys = both.expect("key", "list", "--json").json as? [NSDictionary] ?? []
        let other = try #require(keys.first { $0["current"] as? Bool == false }?["id"] as? String)
        for arguments in [
            ["rekey", "--new-password-file", both.place("new")], ["key", "remove", other],
            ["key", "passwd", "--new-password-file", both.place("new")],
        ] {
            let outcome = holdfast(arguments, both.variables)
            #expect(outcome.status == 1, "\(arguments): \(outcome)")
            #expect(outcome.error.contains("project") && outcome.error.contains("repository copy"), "\(outcome.error)")
        }
        #expect(try names() == before)
        #expect(!both.place.exists("repository.rekey"))
        // What is offered instead.
        let copy = try Both("copy", place: both.place)
        let variables = copy.variables.merging(["RESTIC_FROM_PASSWORD": both.password]) { $1 }
        let copied = holdfast(["copy", "--from-repo", both.path], variables)
        #expect(copied.status == 0 && copy.snapshots().count == 3, "\(copied.error)")
    }

    @Test func `what an interrupted rekey left is named, and no new repository is made in its place`() throws {
        let both = try Both.filled()
        // As after a stop between the two renames where folders cannot be exchanged at once.
        let aside = FolderSwap.aside(both.path)
        #expect(rename(both.path, aside) == 0)
        try both.place.write("repository.rekey/config", "the new one's")
        symlink("repository", both.place("way"))
        var linked = both.variables
        linked["RESTIC_REPOSITORY"] = both.place("way")
        for (arguments, variables) in [
            (["snapshots"], both.variables), (["init"], both.variables), (["snapshots"], linked),
        ] {
            let outcome = holdfast(arguments, variables)
            #expect(outcome.status == (arguments == ["init"] ? 1 : 10), "\(outcome)")
            #expect(outcome.error.contains(aside) && outcome.error.contains(both.path + ".rekey"), "\(outcome.error)")
        }
        #expect(!both.place.exists("repository"))
        #expect(rename(aside, both.path) == 0)
        #expect(both.snapshots().count == 3)
    }

    @Test func `wherever a rekey is killed all snapshots are there, under the old password or the new one`() throws {
        let both = try Both.filled()
        try both.place.write("new", "fresh\n")
        var survivors: Set<String> = []
        for number in 0..<100 {
            var round = try Both("round\(number)", from: both)
            let process = Process()
            process.executableURL = URL(fileURLWithPath: Both.binary)
            process.arguments = ["repository", "rekey", "--new-password-file", both.place("new")]
            process.environment = ProcessInfo.processInfo.environment.merging(round.variables) { $1 }
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            try process.run()
            usleep(UInt32(number) * 250_000)
            // It has not been waited for, so the number is still its own.
            let isAtWork = process.isRunning
            if isAtWork { kill(process.processIdentifier, SIGKILL) }
            process.waitUntilExit()
            for password in [both.password, "fresh"] {
                round.password = password
                if round.ours("snapshots").status == 0 { survivors.insert(password) } else { continue }
                #expect(round.snapshots().count == 3, "round \(number)")
                try round.restic("check", "--read-data", "--no-lock")
            }
            try FileManager.default.removeItem(atPath: round.path)
            try? FileManager.default.removeItem(atPath: round.path + ".rekey")
            if !isAtWork { break }
        }
        #expect(survivors == [both.password, "fresh"])
    }

    @Test(.enabled(if: geteuid() == 0))
    func `a rekey by root leaves the repository to whom it belongs`() throws {
        let both = try Both.filled()
        try both.place.write("new", "fresh\n")
        for name in [""] + (FileManager.default.subpaths(atPath: both.path) ?? []).map({ "/" + $0 }) {
            #expect(lchown(both.path + name, 12_345, 23_456) == 0)
        }
        chmod(both.path, 0o750)
        both.expect("rekey", "--new-password-file", both.place("new"), "--remove-old")
        var (checked, status) = (0, stat())
        for name in [""] + (FileManager.default.subpaths(atPath: both.path) ?? []).map({ "/" + $0 }) {
            #expect(lstat(both.path + name, &status) == 0)
            #expect(status.st_uid == 12_345 && status.st_gid == 23_456, "\(name)")
            checked += 1
        }
        #expect(checked > 256, "the folders of the packs")
        #expect(stat(both.path, &status) == 0 && status.st_mode & 0o777 == 0o750)
    }
}
