import Foundation
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

@Suite struct ForgetTests {
    /// Snapshots of several hosts and tags at random times over some years, dense and sparse, some in the future.
    private func fill(_ both: Both, count: Int, _ generator: inout SeededGenerator) throws {
        let repository = try Repository.open(store: FileBlobStore(root: both.path), password: Secret(both.password))
        let now = SystemTime().now()
        var moment = now
        for number in 0..<count {
            let session = try repository.beginBackup()
            try session.add(bytes: [1], as: "/file")
            let far = Double.random(in: 0..<1, using: &generator)
            moment -= far < 0.5 ? far * 7200 : far < 0.8 ? far * 86_400 * 3 : far * 86_400 * 60
            let time = number == 0 ? now + 86_400 * 40 : moment
            let tags = ["a", "b", "keep"].filter { _ in Int.random(in: 0..<4, using: &generator) == 0 }
            _ = try session.finish(
                SnapshotInfo(
                    time: time, hostname: Int.random(in: 0..<3, using: &generator) == 0 ? "two" : "one", tags: tags,
                    paths: ["/data"]))
        }
    }

    private func policy(_ generator: inout SeededGenerator) -> [String] {
        let counts = ["last", "hourly", "daily", "weekly", "monthly", "yearly"]
        let spans = ["", "-hourly", "-daily", "-weekly", "-monthly", "-yearly"]
        var arguments: [String] = []
        for count in counts where Int.random(in: 0..<3, using: &generator) == 0 {
            arguments += ["--keep-\(count)", "\(Int.random(in: 1..<12, using: &generator))"]
        }
        for span in spans where Int.random(in: 0..<5, using: &generator) == 0 {
            let length = ["3d", "36h", "2m", "1y", "1y2m3d4h", "400d", "5m"].randomElement(using: &generator) ?? "1d"
            arguments += ["--keep-within\(span)", length]
        }
        for tag in ["keep", "a,b", "b"] where Int.random(in: 0..<6, using: &generator) == 0 {
            arguments += ["--keep-tag", tag]
        }
        return arguments.isEmpty ? ["--keep-last", "3"] : arguments
    }

    /// What was decided about each snapshot: kept for these reasons, or removed.
    private func decisions(_ outcome: Outcome) -> [String: [String]] {
        var result: [String: [String]] = [:]
        for group in outcome.json as? [NSDictionary] ?? [] {
            for snapshot in group["remove"] as? [NSDictionary] ?? [] {
                result[snapshot["id"] as? String ?? "?"] = ["removed"]
            }
            let reasons = group["reasons"] as? [NSDictionary] ?? []
            for (snapshot, reason) in zip(group["keep"] as? [NSDictionary] ?? [], reasons) {
                result[snapshot["id"] as? String ?? "?"] = (reason["matches"] as? [String] ?? []).sorted()
            }
        }
        return result
    }

    @Test func `decisions and reasons are restic's for random snapshots and policies`() throws {
        var generator = SeededGenerator(seed: 41)
        let both = try Both()
        try fill(both, count: 90, &generator)
        var removed = 0
        var compared = 0
        for _ in 0..<40 {
            var arguments = ["forget", "--dry-run", "--json"] + policy(&generator)
            switch Int.random(in: 0..<4, using: &generator) {
            case 0: arguments += ["--group-by", "host"]
            case 1: arguments += ["--group-by", "tags"]
            case 2: arguments += ["--host", "one"]
            default: break
            }
            let theirs = try both.tryRestic(arguments)
            let ours = holdfast(arguments, both.variables)
            if ours.status != 0 {
                // What would keep nothing of a group is refused by us, and done by restic before version 0.17.
                #expect(ours.error.contains("keeps no snapshot"), "\(arguments): \(ours.error)")
                continue
            }
            let expected = decisions(theirs)
            #expect(decisions(ours) == expected, "\(arguments)")
            #expect(expected.count > 10)
            removed += expected.values.count { $0 == ["removed"] }
            compared += 1
        }
        #expect(removed > 100 && compared > 20)
    }

    @Test func `no snapshot goes once the lock is lost`() throws {
        let both = try Both.filled()
        let before = both.snapshots()
        let clock = MeddlingTime.stealing(from: both)
        let outcome = holdfast(["forget", "--keep-last", "1"], both.variables, time: clock)
        #expect(clock.hasMeddled && outcome.status == 11, "\(outcome)")
        #expect(both.snapshots() == before && before.count == 3)
    }

    @Test func `unlimited counts keep all, and negative ones are refused`() throws {
        var generator = SeededGenerator(seed: 43)
        let both = try Both()
        try fill(both, count: 6, &generator)
        let all = both.expect("forget", "--dry-run", "--json", "--keep-last", "unlimited")
        #expect(decisions(all).values.allSatisfy { $0 == ["last snapshot"] })
        #expect(decisions(all).count == 6)
        #expect(both.ours("forget", "--keep-last=-5").status == 1)
        #expect(both.ours("forget", "--keep-within", "soon").status == 1)
        #expect(both.ours("forget", "--group-by", "colour", "--keep-last", "1").status == 1)
        #expect(both.ours("forget", both.snapshots()[0], "--keep-last", "1").status == 1)
    }

    @Test func `periods are counted on the wall clock of whoever made the snapshot`() throws {
        let place = try ScratchFolder()
        var both = try Both(place: place)
        both.password = "secret"
        try place.write("data/x", "x")
        // Two hours that are one day in one zone and two days in another.
        for zone in ["Asia/Tokyo", "America/Los_Angeles", "UTC"] {
            for time in ["2026-03-08 23:30:00", "2026-03-09 00:30:00", "2026-03-09 23:59:59"] {
                let variables = both.variables.merging(["TZ": zone]) { $1 }
                let made = try run(
                    "/usr/bin/restic",
                    ["--no-cache", "backup", place("data"), "--time", time, "--host", zone], variables)
                #expect(made.status == 0, "\(made.error)")
            }
        }
        for policy in [
            ["--keep-daily", "2"], ["--keep-weekly", "1"], ["--keep-hourly", "2"], ["--keep-within", "1d"],
        ] {
            let arguments = ["forget", "--dry-run", "--json"] + policy
            let theirs = decisions(try both.tryRestic(arguments))
            #expect(decisions(holdfast(arguments, both.variables)) == theirs, "\(policy)")
            #expect(theirs.count == 9)
        }
    }
}
