import Foundation
import Glibc
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

/// We and restic write, forget, prune and repair in one repository, in an order of chance.
@Suite(.serialized) struct RandomJudgeTests {
    private typealias Facts = [[UInt8]: EntryFacts]

    /// A snapshot as it was when it was made.
    private struct Made {
        let id: SnapshotID
        let facts: Facts
        let isOurs: Bool
    }

    @Test func `whatever both do in turn, each restores what either wrote, byte for byte and with all metadata`() throws
    {
        let environment = ProcessInfo.processInfo.environment
        let seed = environment["HOLDFAST_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 0...UInt64.max)
        var generator = SeededGenerator(seed: seed)
        let directory = try ScratchFolder()
        let test = try TestRepository(directory)
        try RandomTree.makeZoo(directory("data"), using: &generator)
        try RandomTree.makeMany(directory("data/many"), files: 30, using: &generator)
        var made: [Made] = []
        for round in 0..<Patience.rounds(8, long: 80) {
            let place = "round \(round), seed \(seed)"
            // It stops where an earlier edit left a directory in the way; what it did until then counts.
            _ = try? RandomTree.disturb(directory("data/many"), using: &generator)
            try Self.grow(directory("data/many"), round, using: &generator)
            let isOurs = Bool.random(using: &generator)
            made.append(try Self.backUp(test, isOurs: isOurs, parent: made.last { $0.isOurs }?.id))
            if made.count > 3 {
                let victim = made.remove(at: Int.random(in: 0..<made.count - 1, using: &generator))
                if Bool.random(using: &generator) {
                    try test.repository.forget(victim.id)
                } else {
                    try test.restic.expect("forget", "\(victim.id)")
                }
                try Self.clean(test, using: &generator)
            }
            #expect(try test.repository.check(readData: true).problems == [], "\(place)")
            if round % 3 == 2 || Patience.isLong { try test.restic.check() }
            let chosen = try #require(made.randomElement(using: &generator))
            try Self.expectRestores(test, chosen, place)
        }
        try test.restic.check()
        for snapshot in made { try Self.expectRestores(test, snapshot, "at the end, seed \(seed)") }
        #expect(Set(try test.repository.snapshots().map(\.id)) == Set(made.map(\.id)), "seed \(seed)")
    }

    private static func backUp(_ test: TestRepository, isOurs: Bool, parent: SnapshotID?) throws -> Made {
        let source = test.directory("data")
        let facts = try facts(of: source)
        if isOurs {
            return Made(id: try test.backUp(source, parent: parent).finished.id, facts: facts, isOurs: true)
        }
        let output = try test.restic.expect("backup", source, "--json")
        let summary = try #require(output.split(separator: "\n").last { $0.contains("snapshot_id") })
        let object = try JSONSerialization.jsonObject(with: Data(summary.utf8)) as? [String: Any]
        // Some versions give the first digits only.
        let digits = try #require(object?["snapshot_id"] as? String)
        let entry = try #require(try test.repository.snapshots().first { "\($0.id)".hasPrefix(digits) })
        return Made(id: entry.id, facts: facts, isOurs: false)
    }

    /// What either side does to clean up.
    private static func clean(_ test: TestRepository, using generator: inout SeededGenerator) throws {
        switch Int.random(in: 0..<5, using: &generator) {
        case 0: try test.restic.expect("prune", "--max-unused", "0")
        case 1: try test.restic.expect("rebuild-index")
        case 2: try test.repository.planPrune(PruneOptions(maxUnusedPercent: 0)).execute()
        case 3: try test.repository.planPrune().execute()
        default: #expect(try test.repository.repair().blobsLost == 0)
        }
    }

    private static func expectRestores(_ test: TestRepository, _ made: Made, _ place: String) throws {
        let source = test.directory("data")
        let root = made.isOurs ? "/data" : source
        try? FileManager.default.removeItem(atPath: test.directory("ours"))
        try? FileManager.default.removeItem(atPath: test.directory("theirs"))
        let report = try test.repository.restore(TreePath(made.id, path: root), to: test.directory("ours"))
        #expect(report.problems == [], "\(place)")
        try expectSame(made.facts, test.directory("ours"))
        try test.restic.expect("restore", "\(made.id)", "--target", test.directory("theirs"))
        try expectSame(made.facts, test.directory("theirs") + root)
    }

    /// More of what changes in a life: metadata, links, large files that grow.
    private static func grow(_ path: String, _ round: Int, using generator: inout SeededGenerator) throws {
        let name = path + "/round\(round)"
        try writeFile(name, generator.bytes(Int.random(in: 0..<3 << 20, using: &generator)))
        RandomTree.setTime(name, Int.random(in: 0..<2_000_000_000, using: &generator), round)
        chmod(name, mode_t(Int.random(in: 0...0o7777, using: &generator)))
        link(name, path + "/link\(round)")
        symlink("../target\(round)", path + "/symlink\(round)")
        mkfifo(path + "/pipe\(round)", 0o600)
        if geteuid() == 0 { chown(name, UInt32(1000 + round), UInt32(2000 + round)) }
        try makeDirectory(path + "/empty\(round)")
        // Unless it was made something else meanwhile.
        let last = URL(fileURLWithPath: path + "/round\(round - 1)")
        if let large = try? FileHandle(forWritingTo: last) {
            try large.seekToEnd()
            try large.write(contentsOf: Data(generator.bytes(50_000)))
            try large.close()
        }
    }
}
