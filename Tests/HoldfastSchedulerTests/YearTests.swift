import Foundation
import HoldfastModel
import HoldfastRepository
import HoldfastScheduler
import Testing

@Suite struct YearTests {
    /// Bytes of all files below a folder.
    private func size(_ folder: String) -> Int {
        let files = FileManager.default.enumerator(atPath: folder)
        var total = 0
        while let name = files?.nextObject() as? String {
            let attributes = try? FileManager.default.attributesOfItem(atPath: "\(folder)/\(name)")
            if attributes?[.type] as? FileAttributeType == .typeRegular {
                total += (attributes?[.size] as? NSNumber)?.intValue ?? 0
            }
        }
        return total
    }

    @Test func `a year of days leaves 22 backups that restore, and touches nothing else`() throws {
        let bytes = 8192
        var limits = SchedulerLimits()
        limits.prunePause = 30 * 86_400
        let bench = try Bench("2026-01-01T03:00:00Z", bytes: bytes, limits: limits)
        try bench.set([("1d", 7), ("1w", 4), ("1M", 12)])
        // Of another type, so that no policy of its own keeps it; its name begins like the other's.
        let similar = try bench.add("main-2", .development)
        let kept = try (0..<3).map { _ in try bench.manual(similar) }
        let other = try bench.manual(bench.main)
        for _ in 0..<365 {
            bench.time.advance(2 * 3600)
            try bench.look()
            bench.time.advance(22 * 3600)
            try bench.look()
        }
        // The data of what was deleted last go a day later; nothing becomes due at night.
        let listed = try bench.listed(bench.main)
        #expect(listed.filter(\.automated).count == 22)
        #expect(listed.contains { $0.id == other })
        #expect(Set(try bench.listed(similar).map(\.id)) == Set(kept))
        let repository = try bench.repository()
        let all = try bench.catalogue.backups(in: bench.project.id)
        #expect(Set(try repository.snapshots().map { $0.id.description }) == Set(all.map(\.snapshot)))
        // 365 were stored, and pruned once a month.
        let prunes = try bench.catalogue.activities(in: bench.project.id, .init(limit: 5000)).filter {
            $0.activity.type == .prune
        }
        #expect((10...13).contains(prunes.count))
        #expect(prunes.allSatisfy { $0.activity.result == .success }, "\(prunes.compactMap(\.activity.failure))")
        let stored = size("\(bench.folder)/a")
        #expect(stored < (all.count + 40) * bytes * 3 / 2, "\(stored) bytes for \(all.count) backups")
        try repository.planPrune(PruneOptions(maxUnusedPercent: 0)).execute()
        let needed = size("\(bench.folder)/a")
        #expect(needed < (all.count + 10) * bytes * 3 / 2, "\(needed) bytes for \(all.count) backups")
        for backup in all {
            let snapshot = try #require(SnapshotID(backup.snapshot))
            let data = try bench.repository().file(snapshot: snapshot, path: "/data")
            #expect(data == TinyBackups.content(of: backup.id, bytes), "backup \(backup.id)")
        }
    }
}
