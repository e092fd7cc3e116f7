import Foundation
import Glibc
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastRepositoryCommands
import HoldfastTestSupport
import Synchronization
import Testing

/// What we write, restic reads; what restic would do, we do.
@Suite struct WritingTests {
    /// Whether two directories hold the same names, bytes and modes.
    private func expectSame(_ one: String, _ two: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let script = "find . -printf '%P %y %m %n %s %l %T@\\n' | grep -v '^ d ' | sort"
        let lists = try [one, two].map { directory -> [Substring] in
            let listing = try run("/bin/sh", ["-c", script], directory: directory)
            return listing.out.split(separator: "\n").map { line in
                // The size of a directory is not part of a backup.
                let words = line.split(separator: " ")
                return words.count > 4 && words.contains("d") ? words.prefix(3).joined(separator: " ")[...] : line
            }
        }
        #expect(lists[0] == lists[1], sourceLocation: sourceLocation)
        #expect(lists[0].count > 1, sourceLocation: sourceLocation)
        let difference = try run("/usr/bin/diff", ["-r", "--no-dereference", one, two])
        let lines = difference.out.split(separator: "\n").filter { !$0.contains("fifo") }
        #expect(lines.isEmpty, "\(lines.prefix(5))", sourceLocation: sourceLocation)
    }

    @Test func `init makes a repository that restic opens, checks and writes to`() throws {
        let place = try ScratchFolder()
        let variables = ["RESTIC_PASSWORD": "new", "RESTIC_REPOSITORY": place("deep/inside")]
        let made = holdfast(["init", "--json"], variables)
        #expect(made.status == 0, "\(made.error)")
        #expect((made.json as? NSDictionary)?["message_type"] as? String == "initialized")
        try place.write("data/file", "text")
        for arguments in [["check"], ["backup", place("data")], ["check", "--read-data"]] {
            let theirs = try run("/usr/bin/restic", ["--no-cache"] + arguments, variables)
            #expect(theirs.status == 0, "\(arguments): \(theirs.error)")
        }
        #expect(holdfast(["check", "--read-data"], variables).status == 0)
        #expect(holdfast(["init"], variables).status == 1)
    }

    @Test func `a backup is restic's in names, metadata, parent and paths`() throws {
        let both = try Both.filled()
        let place = both.place
        // Files that changed just before their backup are read again: this one looks an hour younger than they are.
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.dateFormat = "yyyy-MM-dd HH:mm:ss"
        let later = format.string(from: SystemTime().now().addingTimeInterval(3600))
        try both.restic("backup", place("data"), "--time", later)
        let theirs = try #require(both.snapshots().last)
        let first = both.expect("backup", place("data"), "--tag", "ours", "--json")
        #expect((first.json as? NSDictionary)?["files_unmodified"] as? Int ?? 0 > 5, "\(first.out)")
        let mine = try #require((first.json as? NSDictionary)?["snapshot_id"] as? String)
        // Other programs may change the folders above ours meanwhile; the first line is the snapshot itself.
        let listings = [mine, theirs].map { id in
            both.expect("ls", id, "--json").jsonLines.dropFirst().filter { entry in
                !place.path.hasPrefix((entry["path"] as? String ?? "") + "/")
            }
        }
        #expect(listings[0] == listings[1])
        #expect(listings[0].count > 8)
        #expect(!both.expect("diff", mine, theirs).out.contains("/data/"))
        let record = (both.expect("snapshots", mine, "--json").json as? [NSDictionary])?.first
        #expect(record?["paths"] as? [String] == [place("data")])
        #expect(record?["tags"] as? [String] == ["ours"])
        #expect(record?["parent"] != nil)
        try both.restic("restore", mine, "--target", place("out"))
        try expectSame(place("data"), place("out" + place("data")))
        try both.restic("check", "--read-data")
    }

    @Test func `relative paths, single files and lists of paths are backed up`() throws {
        let both = try Both()
        try both.place.write("data/one", "1")
        try both.place.write("data/two", "2")
        try both.place.write("list", "# what\n\(both.place("data/two"))\n")
        let relative = try both.binary("backup", "data", directory: both.place.path)
        #expect(relative.status == 0, "\(relative.error)")
        #expect(both.expect("ls", "latest").out.contains("\n/data/one\n"))
        both.expect("backup", both.place("data/one"), "--files-from", both.place("list"), both.place("data"))
        #expect(both.expect("ls", "latest").out.contains(both.place("data/two")))
        both.expect("backup", both.place("data/one"))
        let ours = both.expect("ls", "latest").out
        #expect(ours.contains(both.place("data/one")) && !ours.contains("two"))
        try both.restic("check", "--read-data")
    }

    @Test func `excludes leave out what they mean`() throws {
        let both = try Both()
        let place = both.place
        for name in ["keep/a.txt", "keep/b.log", "skip/c", "cache/d", "marked/e", "keep/Big.TMP"] {
            try place.write("data/" + name, name)
        }
        try place.write("data/cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n")
        try place.write("data/marked/.nobackup", "")
        try place.write("excludes", "# not these\n*.log\n")
        let flags = [
            "--exclude", "skip", "--exclude-file", place("excludes"), "--iexclude", "*.tmp", "--exclude-caches",
            "--exclude-if-present", ".nobackup", "--one-file-system",
        ]
        let ours = holdfast(["backup", place("data")] + flags, both.variables)
        #expect(ours.status == 0, "\(ours.error)")
        #expect(try both.tryRestic(["backup", place("data")] + flags).status == 0)
        let all = both.snapshots()
        let listings = all.map { both.expect("ls", $0).out.split(separator: "\n").dropFirst() }
        #expect(listings[0] == listings[1], "\(listings)")
        #expect(listings[0].contains { $0.hasSuffix("a.txt") })
    }

    @Test func `standard input becomes a file, and a dry run stores nothing`() throws {
        let both = try Both()
        let text = String(repeating: "a line of text\n", count: 200_000)
        let stored = try both.binary("backup", "--stdin", "--stdin-filename", "db.sql", input: Data(text.utf8))
        #expect(stored.status == 0, "\(stored.error)")
        #expect(try both.restic("dump", "latest", "/db.sql").out == text)
        let before = FileManager.default.subpaths(atPath: both.path)?.sorted()
        try both.place.write("data/x", "x")
        #expect(both.expect("backup", "--dry-run", both.place("data")).out.contains("nothing was stored"))
        #expect(FileManager.default.subpaths(atPath: both.path)?.sorted() == before)
    }

    @Test func `what cannot be read is named, the rest is backed up, and the status is 3`() throws {
        let both = try Both()
        try both.place.write("data/good", "good")
        let outcome = both.ours("backup", both.place("data"), both.place("missing"))
        #expect(outcome.status == 3)
        #expect(outcome.error.contains(both.place("missing")))
        #expect(both.expect("ls", "latest").out.contains("good"))
        #expect(both.ours("backup", both.place("missing")).status == 1)
    }

    @Test(.enabled(if: geteuid() == 0, "needs another user"))
    func `what the user may not read is named, the rest is backed up, and the status is 3`() throws {
        let both = try Both()
        try both.place.write("data/good", "good")
        try both.place.write("data/secret", "nobody may read this")
        chmod(both.place("data/secret"), 0o600)
        mkdir(both.place("data/closed"), 0o700)
        let owned = try run("/bin/chown", ["-R", "nobody", both.path])
        #expect(owned.status == 0)
        // The binary may lie where nobody else can start it.
        try FileManager.default.copyItem(atPath: Both.binary, toPath: both.place("holdfast"))
        chmod(both.place("holdfast"), 0o755)
        let script = [
            "--reuid", "nobody", "--clear-groups", both.place("holdfast"), "repository", "backup", both.place("data"),
        ]
        let denied = try run("/usr/bin/setpriv", script, both.variables)
        #expect(denied.status == 3, "\(denied.out)\(denied.error)")
        #expect(denied.error.contains("secret") && denied.error.contains("closed"), "\(denied.error)")
        let listing = both.expect("ls", "latest").out
        #expect(listing.contains("good") && !listing.contains("secret"))
    }

    @Test func `restore brings everything back, with includes and excludes as restic chooses`() throws {
        let both = try Both.filled()
        let place = both.place
        let first = both.snapshots()[0]
        var number = 0
        let choices = [
            [], ["--include", "b"], ["--include", place("data/sub")], ["--include", "*d*"], ["--exclude", "sub"],
            ["--exclude", "/**/inner"], ["--exclude", "*", "--exclude", "!a"], ["--include", "inner"],
            ["--iinclude", "BIG"],
        ]
        for choice in choices {
            number += 1
            let (mine, theirs) = (place("ours\(number)"), place("theirs\(number)"))
            let outcome = holdfast(["restore", first, "--target", mine, "--verify"] + choice, both.variables)
            #expect(outcome.status == 0, "\(choice): \(outcome.error)")
            let restic = try both.tryRestic(["restore", first, "--target", theirs] + choice)
            #expect(restic.status == 0, "\(restic.error)")
            let lists = [mine, theirs].map { directory in
                (FileManager.default.subpaths(atPath: directory) ?? []).filter { path in
                    var status = stat()
                    return lstat(directory + "/" + path, &status) == 0 && status.st_mode & S_IFMT != S_IFDIR
                }.sorted()
            }
            #expect(lists[0] == lists[1], "\(choice)")
            #expect(choice.contains("*") || !lists[0].isEmpty, "\(choice)")
        }
        try expectSame(place("ours1"), place("theirs1"))
        // Directories that lead to nothing are not made.
        #expect(!place.exists("ours2" + place("data/gone")))
    }

    @Test func `restore into a directory in use replaces files, keeps others, follows no link`() throws {
        let both = try Both()
        let place = both.place
        try place.write("data/a", "from the backup")
        try place.write("data/linked", "from the backup")
        try place.write("data/sub/b", "from the backup")
        both.expect("backup", place("data"))
        try place.write("target/a", "old")
        try place.write("target/other", "stays")
        try place.write("outside/victim", "untouched")
        symlink(place("outside/victim"), place("target/linked"))
        symlink(place("outside"), place("target/sub"))
        let source = "latest:" + place("data")
        let outcome = both.ours("restore", source, "--target", place("target"), "--verify")
        #expect(outcome.status == 3, "\(outcome.error)")
        #expect(outcome.error.contains("sub"))
        #expect(place.read("target/a") == "from the backup")
        #expect(place.read("target/linked") == "from the backup")
        #expect(place.read("target/other") == "stays")
        #expect(place.read("outside/victim") == "untouched")
        #expect(!place.exists("outside/b"))
        unlink(place("target/sub"))
        try place.write("target/a", "mine")
        both.expect("restore", source, "--target", place("target"), "--overwrite", "never")
        #expect(place.read("target/a") == "mine")
        #expect(place.read("target/sub/b") == "from the backup")
        let wrong = both.ours("restore", source, "--target", place("target"), "--overwrite", "never", "--verify")
        #expect(wrong.status == 0, "\(wrong.error)")
    }

    @Test func `verify finds what is not as in the snapshot`() throws {
        let both = try Both()
        try both.place.write("data/a", String(repeating: "text ", count: 1000))
        both.expect("backup", both.place("data"))
        let repository = try Repository.open(store: FileBlobStore(root: both.path), password: Secret(both.password))
        let id = try #require(try repository.records().first?.id)
        let source = TreePath(id, path: both.place("data"))
        #expect(try repository.verify(source, in: both.place("data")) { _ in false }.problems.isEmpty)
        try both.place.write("data/a", String(repeating: "texT ", count: 1000))
        #expect(try repository.verify(source, in: both.place("data")) { _ in false }.problems.count == 1)
        unlink(both.place("data/a"))
        symlink("/etc/passwd", both.place("data/a"))
        #expect(try repository.verify(source, in: both.place("data")) { _ in false }.problems.count == 1)
    }

    @Test func `forget and prune leave what restic restores and checks`() throws {
        let both = try Both.filled()
        let dry = both.expect("forget", "--keep-last", "1", "--dry-run")
        #expect(dry.out.contains("would remove 1 snapshot\n"))
        #expect(both.snapshots().count == 3)
        both.expect("forget", "--keep-last", "1")
        #expect(both.snapshots().count == 2)
        let plan = both.expect("prune", "--dry-run", "--max-unused", "0", "--json")
        #expect((plan.json as? NSDictionary)?["bytes_freed"] as? Int ?? 0 > 0, "\(plan.out)")
        both.expect("prune", "--max-unused", "0")
        try both.restic("check", "--read-data")
        try both.restic("restore", "latest", "--target", both.place("out"))
        both.expect("forget", both.snapshots()[0], "--prune", "--max-unused", "1M")
        both.expect("prune", "--repack-small", "--max-repack-size", "1G")
        both.expect("prune", "--repack-cacheable-only", "--max-unused", "0")
        try both.restic("check", "--read-data")
        #expect(both.ours("forget", "--keep-tag", "nothing").status == 1)
        #expect(both.snapshots().count == 1)
        #expect(both.expect("forget").out.contains("no policy"))
    }

    @Test func `a dry run of forget with prune shows what both would do, and changes no byte`() throws {
        let both = try Both.filled()
        func bytes() throws -> [String: Data] {
            var all: [String: Data] = [:]
            for name in FileManager.default.subpaths(atPath: both.path) ?? [] {
                all[name] = FileManager.default.contents(atPath: both.path + "/" + name) ?? Data()
            }
            return all
        }
        let before = try bytes()
        #expect(before.count > 6)
        let flags = ["--keep-last", "1", "--prune", "--max-unused", "0"]
        let text = holdfast(["forget", "--dry-run"] + flags, both.variables)
        #expect(text.status == 0, "\(text.error)")
        #expect(text.out.contains("would remove 1 snapshot\n"), "\(text.out)")
        #expect(text.out.contains("this would free "), "\(text.out)")
        let dry = try #require(
            holdfast(["forget", "--dry-run", "--json"] + flags, both.variables).out.split(separator: "\n").last)
        let plan = try #require(try JSONSerialization.jsonObject(with: Data(dry.utf8)) as? [String: Any])
        #expect(plan["dry_run"] as? Bool == true)
        let named = both.expect("forget", both.snapshots()[0], "--dry-run", "--prune", "--max-unused", "0")
        #expect(named.out.contains("this would free "), "\(named.out)")
        #expect(try bytes() == before)
        // And it is what both then do.
        let nothing = both.expect("prune", "--dry-run", "--max-unused", "0", "--json").json as? [String: Any]
        #expect((nothing?["bytes_freed"] as? Int ?? 0) < (plan["bytes_freed"] as? Int ?? 0))
        let done = holdfast(["forget", "--json"] + flags, both.variables)
        let last = try #require(done.out.split(separator: "\n").last)
        let report = try #require(try JSONSerialization.jsonObject(with: Data(last.utf8)) as? [String: Any])
        for key in ["packs_kept", "packs_repacked", "packs_removed", "bytes_before", "bytes_to_copy"] {
            #expect(report[key] as? Int == plan[key] as? Int, "\(key): \(dry) \(last)")
        }
        try both.restic("check", "--read-data")
    }

    @Test func `copies are read by restic, and copied once, whoever copies`() throws {
        let from = try Both.filled()
        let to = try Both("target", place: from.place)
        func copy(_ more: [String] = []) -> Outcome {
            holdfast(
                ["copy", "--json", "--from-repo", from.path] + more,
                to.variables.merging(["RESTIC_FROM_PASSWORD": from.password]) { $1 })
        }
        #expect((copy(["--dry-run"]).json as? NSDictionary)?["blobs"] as? Int ?? 0 > 10)
        let one = copy(["latest", "--host", "other"])
        #expect(one.status == 0, "\(one.error)")
        #expect(to.snapshots().count == 1)
        let rest = copy()
        #expect((rest.json as? NSDictionary)?["skipped"] as? [String] == [from.snapshots()[2]], "\(rest.out)")
        try to.restic("check", "--read-data")
        // Same times, hosts, tags and trees; the original is named.
        let originals = from.expect("snapshots", "--json").json as? [NSDictionary] ?? []
        let copies = to.expect("snapshots", "--json").json as? [NSDictionary] ?? []
        for (original, copied) in zip(originals, copies) {
            for key in ["time", "tree", "hostname", "username", "tags", "paths"] {
                #expect(normal(original[key]) == normal(copied[key]), "\(key)")
            }
            #expect(copied["original"] as? String == original["id"] as? String)
            #expect(copied["parent"] == nil)
        }
        #expect(originals.count == 3 && copies.count == 3)
        let variables = to.variables.merging(["RESTIC_FROM_PASSWORD": from.password]) { $1 }
        let theirs = try run("/usr/bin/restic", ["--no-cache", "copy", "--from-repo", from.path], variables)
        #expect(theirs.status == 0, "\(theirs.error)")
        #expect(to.snapshots().count == 3, "restic knows our copies")
        #expect((copy().json as? NSDictionary)?["blobs"] as? Int == 0)
        try to.restic("restore", to.snapshots()[1], "--target", from.place("restored"))
        try expectSame(from.place("data"), from.place("restored" + from.place("data")))
    }

    @Test func `keys that we add open restic, and neither the one in use nor the last one goes`() throws {
        let both = try Both(madeBy: .restic)
        try both.place.write("new", "second\n")
        let theirs = try both.restic("key", "list", "--json").json as? [NSDictionary]
        let ours = both.expect("key", "list", "--json").json as? [NSDictionary]
        #expect(normal(ours) == normal(theirs))
        let old = try #require(ours?.first?["id"] as? String)
        #expect(both.ours("key", "remove", old).status == 1)
        both.expect("key", "add", "--new-password-file", both.place("new"), "--user", "ada", "--host", "far")
        var second = both
        second.password = "second"
        #expect(try second.restic("snapshots").status == 0)
        #expect(try second.restic("key", "list").out.contains("ada"))
        #expect(second.ours("key", "remove", "ffffffffff").status == 1)
        second.expect("key", "remove", old)
        #expect(both.ours("snapshots").status == 12)
        #expect(try both.tryRestic(["snapshots"]).status != 0)
        try both.place.write("third", "third\n")
        second.expect("key", "passwd", "--new-password-file", both.place("third"))
        var third = both
        third.password = "third"
        #expect(second.ours("snapshots").status == 12)
        #expect((try third.restic("key", "list", "--json").json as? [NSDictionary])?.count == 1)
    }

    @Test func `a damaged key is listed, and neither hinders other keys nor stays for ever`() throws {
        let both = try Both.filled()
        try both.place.write("new", "second\n")
        both.expect("key", "add", "--new-password-file", both.place("new"))
        let keys = both.expect("key", "list", "--json").json as? [NSDictionary] ?? []
        let other = try #require(keys.first { $0["current"] as? Bool == false }?["id"] as? String)
        let names = try FileManager.default.contentsOfDirectory(atPath: both.path + "/keys")
        let file = both.path + "/keys/" + (try #require(names.first { $0.hasPrefix(other) }))
        chmod(file, 0o600)
        #expect(truncate(file, 100) == 0)
        let listed = both.expect("key", "list")
        #expect(listed.out.contains("damaged") && listed.error.contains(other), "\(listed)")
        try both.place.write("third", "third\n")
        both.expect("key", "passwd", "--new-password-file", both.place("third"))
        var third = both
        third.password = "third"
        third.expect("key", "remove", other)
        #expect((third.expect("key", "list", "--json").json as? [NSDictionary])?.count == 1)
        try third.restic("check")
    }

    @Test func `a restore over a file leaves it as it was if the backup of it is damaged`() throws {
        let both = try Both()
        try both.place.write("data/a", (0..<60_000).map { "\($0)\n" }.joined())
        both.expect("backup", both.place("data"))
        let store = FileBlobStore(root: both.path)
        // The larger pack is the file's; the other one has the trees.
        let pack = try #require(try store.list(.data).max { $0.size < $1.size }?.name)
        let source = "latest:" + both.place("data")
        for entry in try store.list(.data) where entry.name == pack {
            let path = both.path + "/" + pack.path
            chmod(path, 0o600)
            var bytes = [UInt8](FileManager.default.contents(atPath: path) ?? Data())
            for place in 0..<min(bytes.count, 40) { bytes[place] ^= 0xFF }
            try Data(bytes).write(to: URL(fileURLWithPath: path))
        }
        try both.place.write("target/a", "mine, and not backed up")
        let outcome = both.ours("restore", source, "--target", both.place("target"))
        #expect(outcome.status != 0, "\(outcome.out)")
        #expect(both.place.read("target/a") == "mine, and not backed up")
        #expect(try FileManager.default.contentsOfDirectory(atPath: both.place("target")) == ["a"])
    }

    @Test func `locks keep others away with status 11, and only stale ones are removed`() throws {
        let both = try Both.filled()
        let repository = try Repository.open(store: FileBlobStore(root: both.path), password: Secret(both.password))
        try repository.whileAlone { _ in
            for arguments in [["snapshots"], ["ls", "latest"], ["backup", both.place("data")], ["prune"], ["check"]] {
                #expect(holdfast(arguments, both.variables).status == 11, "\(arguments)")
            }
            #expect(both.ours("snapshots", "--no-lock").status == 0)
            #expect(both.expect("unlock", "--json").out == "{\"removed\":0}\n")
            #expect(both.expect("unlock", "--remove-all", "--json").out == "{\"removed\":1}\n")
            #expect(both.ours("snapshots").status == 0)
        }
    }

    @Test func `a verb that is interrupted ends with 130 and leaves no lock`() throws {
        let both = try Both()
        let pipe = Pipe()
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Both.binary)
        process.arguments = ["repository", "backup", "--stdin"]
        process.environment = ProcessInfo.processInfo.environment.merging(both.variables) { $1 }
        process.standardInput = pipe
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        func locks() -> Int { (try? FileManager.default.contentsOfDirectory(atPath: both.path + "/locks").count) ?? 0 }
        for _ in 0..<600 where locks() == 0 { usleep(50_000) }
        #expect(locks() == 1)
        process.interrupt()
        process.waitUntilExit()
        #expect(process.terminationStatus == 130)
        #expect(locks() == 0)
    }
}
