import Foundation
import Glibc
import HoldfastModel
import HoldfastRepositoryCommands
import Testing

/// restic is the judge: what we say of its repository is what it says.
@Suite struct ReadingTests {
    @Test func `the list of snapshots is restic's`() throws {
        let both = try Both.filled()
        let choices: [[String]] = [
            [], ["--host", "other"], ["--tag", "x"], ["--tag", "x,y"], ["--tag", "x,z"], ["--tag", "x", "--tag", "z"],
            ["--tag", ""], ["--path", both.place("data")], ["--path", both.place("data/sub")], ["latest"],
            ["latest", "--tag", "x"], ["--host", "nobody"],
        ]
        for choice in choices {
            let theirs = try both.tryRestic(["snapshots", "--json"] + choice)
            let ours = holdfast(["snapshots", "--json"] + choice, both.variables)
            #expect(ours.status == 0, "\(choice): \(ours.error)")
            let expected = theirs.json as? NSArray ?? []
            #expect(normal(ours.json) == expected, "\(choice): \(ours.out) \(theirs.out)")
        }
        #expect(both.snapshots().count == 3)
        let beginning = String(both.snapshots()[1].prefix(6))
        #expect(both.expect("snapshots", beginning).out.contains(beginning))
    }

    @Test func `groups of snapshots are restic's`() throws {
        let both = try Both.filled()
        for keys in ["host", "host,paths", "tags", "host,tags,paths"] {
            func groups(_ outcome: Outcome) throws -> Set<NSDictionary> {
                Set(try #require(outcome.json as? [NSDictionary], "\(outcome.out)"))
            }
            let theirs = try groups(both.restic("snapshots", "--json", "--group-by", keys))
            let ours = try groups(both.expect("snapshots", "--json", "--group-by", keys))
            func unfolded(_ groups: Set<NSDictionary>) -> Set<NSDictionary> {
                // What is not grouped by is null there and absent here.
                Set(
                    groups.map { group in
                        let key = (group["group_key"] as? [String: Any] ?? [:]).filter { !($0.value is NSNull) }
                        return ["key": key as NSDictionary, "snapshots": group["snapshots"] ?? []] as NSDictionary
                    })
            }
            #expect(unfolded(ours) == unfolded(theirs), "\(keys)")
        }
    }

    @Test func `ls is restic's, for whole snapshots and for directories`() throws {
        let both = try Both.filled()
        for snapshot in both.snapshots() {
            for rest in [[], [both.place("data")], [both.place("data"), "--recursive"], [both.place("data/sub")]] {
                let theirs = try both.tryRestic(["ls", "--json", snapshot] + rest).jsonLines
                let ours = holdfast(["ls", "--json", snapshot] + rest, both.variables)
                #expect(ours.status == 0, "\(ours.error)")
                #expect(ours.jsonLines == theirs, "\(rest)")
                #expect(theirs.count > 1)
            }
        }
    }

    @Test func `find finds what restic finds`() throws {
        let both = try Both.filled()
        let patterns = [
            ["b"], ["su*"], ["[a-c]"], ["*d*"], [both.place("data") + "/*/b"], ["/**/inner"], ["gone/inner"],
            ["nothing"],
            ["A", "--ignore-case"], ["b", "new"],
        ]
        for pattern in patterns {
            let theirs = try both.tryRestic(["find", "--json"] + pattern)
            let ours = holdfast(["find", "--json"] + pattern, both.variables)
            #expect(ours.status == 0, "\(ours.error)")
            let expected = Set(theirs.json as? [NSDictionary] ?? [])
            #expect(Set(ours.json as? [NSDictionary] ?? []) == expected, "\(pattern): \(ours.out)\n\(theirs.out)")
        }
        let some = holdfast(["find", "--json", "b"], both.variables)
        #expect((some.json as? [NSDictionary])?.count == 3)
    }

    @Test(arguments: ["restore-size", "files-by-contents", "blobs-per-file", "raw-data"])
    func `statistics are restic's`(mode: String) throws {
        let both = try Both.filled()
        for choice in [[], [both.snapshots()[0]], ["latest"], ["--host", "other"]] {
            let theirs = try #require(
                try both.tryRestic(["stats", "--json", "--mode", mode] + choice).json as? NSDictionary)
            let ours = holdfast(["stats", "--json", "--mode", mode] + choice, both.variables)
            let found = try #require(ours.json as? NSDictionary, "\(ours.error)")
            for (key, value) in theirs {
                #expect(normal(found[key]) == normal(value), "\(choice) \(key): \(ours.out) \(theirs)")
            }
            #expect((theirs["total_size"] as? Int ?? 0) > 0)
        }
    }

    @Test func `differences are restic's`() throws {
        let both = try Both.filled()
        let all = both.snapshots()
        for (one, two) in [(all[0], all[1]), (all[1], all[0]), (all[0], all[2]), (all[0], all[0])] {
            for flags in [[], ["--metadata"]] {
                let theirs = try both.tryRestic(["diff", "--json"] + flags + [one, two]).jsonLines
                let ours = holdfast(["diff", "--json"] + flags + [one, two], both.variables)
                #expect(ours.status == 0, "\(ours.error)")
                #expect(ours.jsonLines == theirs, "\(flags): \(ours.out)")
                #expect(!theirs.isEmpty)
            }
        }
        let text = both.expect("diff", all[0], all[1], "--metadata").out
        #expect(text.contains("M    \(both.place("data/a"))\n"))
        #expect(text.contains("TU   \(both.place("data/kind"))/\n"))
    }

    @Test func `a dumped file has restic's bytes, and a dumped directory unpacks to the same`() throws {
        let both = try Both.filled()
        let first = both.snapshots()[0]
        for name in ["data/big", "data/a", "data/odd \u{e9} name"] {
            let ours = try both.binary("dump", first, both.place(name))
            #expect(ours.status == 0, "\(ours.error)")
            #expect(ours.out == (try both.restic("dump", first, both.place(name)).out))
            #expect(!ours.out.isEmpty)
        }
        let archive = both.place("ours.tar")
        both.expect("dump", first, both.place("data"), "--target", archive)
        let theirs = try both.restic("dump", first, both.place("data"))
        try Data(theirs.out.utf8).write(to: URL(fileURLWithPath: both.place("theirs.tar")))
        let listings = try ["ours.tar", "theirs.tar"].map { name in
            try run("/usr/bin/tar", ["--full-time", "--numeric-owner", "-tvf", both.place(name)])
        }
        #expect(listings[0].status == 0, "\(listings[0].error)")
        let lines = listings.map { listing in
            // restic rounds times, and makes an empty file of a pipe.
            Set(
                listing.out.split(separator: "\n").filter { !$0.hasSuffix("/pipe") }.map { line in
                    line.split(separator: " ").enumerated().filter { $0.offset != 3 && $0.offset != 4 }.map(\.element)
                        .joined(separator: " ")
                })
        }
        #expect(lines[0] == lines[1], "\(listings[0].out) \(listings[1].out)")
        mkdir(both.place("unpacked"), 0o700)
        let unpacked = try run("/usr/bin/tar", ["-xpf", archive, "-C", both.place("unpacked")])
        #expect(unpacked.status == 0, "\(unpacked.error)")
        both.expect("restore", first, "--target", both.place("restored"))
        let same = try run(
            "/usr/bin/diff", ["-r", "--no-dereference", both.place("unpacked"), both.place("restored")])
        let pipes = same.out.split(separator: "\n").filter { !$0.contains("fifo") }
        #expect(pipes.isEmpty, "\(same.out)")
        #expect(both.ours("dump", first, "/nowhere").status == 1)
    }

    @Test func `check agrees with restic, whole and damaged`() throws {
        let both = try Both.filled()
        #expect(both.expect("check", "--read-data").out.contains("no errors were found"))
        #expect(both.expect("check", "--read-data-subset", "1/2").status == 0)
        #expect(both.expect("check", "--read-data-subset", "50%").status == 0)
        #expect(both.expect("check", "--read-data-subset", "1M").status == 0)
        #expect(both.ours("check", "--read-data-subset", "3/2").status == 1)
        let packs = try #require(
            FileManager.default.subpaths(atPath: both.path + "/data")?.first { $0.utf8.count > 60 })
        let path = both.path + "/data/" + packs
        chmod(path, 0o600)
        var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        bytes[10] ^= 1
        try bytes.write(to: URL(fileURLWithPath: path))
        let ours = both.ours("check", "--read-data", "--json")
        #expect(ours.status == 1)
        #expect(ours.jsonLines.last?["num_errors"] as? Int ?? 0 > 0, "\(ours.out)")
        #expect(try both.tryRestic(["check", "--read-data"]).status == 1)
        #expect(both.ours("repair", "--dry-run").out.contains("1 damaged"))
    }

    @Test func `objects can be looked at`() throws {
        let both = try Both.filled()
        let config = try both.binary("cat", "config")
        #expect(normal(config.json) == normal(try both.restic("cat", "config").json))
        let snapshot = try both.binary("cat", "snapshot", both.snapshots()[0])
        #expect((snapshot.json as? NSDictionary)?["hostname"] != nil)
        #expect(both.ours("cat", "master", "1").status == 1)
    }
}
