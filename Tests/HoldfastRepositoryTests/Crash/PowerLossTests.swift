import Foundation
import Glibc
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

/// Every system call of a file store that changes the disk is a crash point.
@Suite(.serialized) struct PowerLossTests {
    private static let hours: Double = 3 * 3600
    private static let judgeStep = Patience.rounds(61, long: 7)

    @Test(arguments: CrashStep.all)
    func `a process that dies before any of its system calls, or half through a write, leaves a whole repository`(
        _ step: CrashStep
    ) throws {
        let bench = try CrashBench(seed: 111)
        for number in stride(from: 1, to: 1000, by: Patience.rounds(3, long: 1)) {
            let folder = try bench.folder("r")
            let crash = FileCrash(stop: number, writesHalf: true)
            do {
                try step.run(CrashBench.open(FileBlobStore(root: folder.root, hook: crash.hook)), bench)
            } catch {
                #expect(crash.hasStopped, "\(step.name), \(number): \(error)")
            }
            let place = "\(step.name), system call \(number)"
            let mayLack: Set<SnapshotID> = step.forgets ? [bench.victim] : []
            let now = try CrashBench.open(folder, later: Self.hours)
            try bench.expectSound(now, mayLack: mayLack, place)
            try step.run(now, bench)
            try CrashStep.prune.run(now, bench)
            try bench.expectSound(now, mayLack: mayLack, "after \(place)")
            try bench.expectTidy(now, folder, "after \(place)")
            #expect(try Self.leftovers(folder.root) == [], "\(place)")
            if !crash.hasStopped { return }
        }
        Issue.record("\(step.name) never ended")
    }

    @Test(arguments: CrashStep.all, DiskModel.Loss.allCases)
    func `whatever unsynced writes and renames a loss of power takes or reorders, the repository is whole`(
        _ step: CrashStep, _ loss: DiskModel.Loss
    ) throws {
        let bench = try CrashBench(seed: 112)
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = SeededGenerator(seed: seed)
        let folder = try bench.folder("r")
        let crash = FileCrash(stop: .max, model: try DiskModel(durable: folder.root, store: folder))
        try step.run(CrashBench.open(FileBlobStore(root: folder.root, hook: crash.hook)), bench)
        #expect(crash.history.count > 1)
        let end = try #require(crash.model)
        let mayLack: Set<SnapshotID> = step.forgets ? [bench.victim] : []
        for (number, disk) in (crash.history + [end]).enumerated() {
            for _ in 0..<(loss == .random ? Patience.rounds(3, long: 40) : 1) {
                let place = "\(step.name), power lost before call \(number + 1), \(loss), seed \(seed)"
                let store = try Self.store(disk.survivors(of: loss, using: &generator), root: folder.root)
                let now = try CrashBench.open(store, later: Self.hours)
                try bench.expectSound(now, mayLack: mayLack, place)
                if number % Self.judgeStep == 0 { try bench.expectResticContent(store, place) }
                try step.run(now, bench)
                try CrashStep.prune.run(now, bench)
                try bench.expectSound(now, mayLack: mayLack, "after \(place)")
                try bench.expectTidy(now, store, "after \(place)")
            }
        }
        // What the step reported as done survives everything.
        let store = try Self.store(end.survivors(of: .all, using: &generator), root: folder.root)
        let snapshots = try CrashBench.open(store, later: Self.hours).snapshots()
        if step.name == "backup" { #expect(snapshots.contains { $0.snapshot.info.tags == ["next"] }) }
        if step.forgets { #expect(!snapshots.contains { $0.id == bench.victim }) }
    }

    @Test func `a process dies, another one goes on, and then the power is lost`() throws {
        let bench = try CrashBench(seed: 113)
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = SeededGenerator(seed: seed)
        for round in 0..<Patience.rounds(12, long: 300) {
            let folder = try bench.folder("r")
            let steps = [CrashStep.backup, .prune, .prune, .backup].shuffled(using: &generator)
            let stop = Int.random(in: 1...90, using: &generator)
            let first = FileCrash(stop: stop, model: try DiskModel(durable: folder.root, store: folder))
            try? steps[0].run(CrashBench.open(FileBlobStore(root: folder.root, hook: first.hook)), bench)
            let second = FileCrash(stop: .max, model: first.model)
            try steps[1].run(
                CrashBench.open(FileBlobStore(root: folder.root, hook: second.hook), later: Self.hours), bench)
            let disks = second.history.shuffled(using: &generator).prefix(Patience.rounds(15, long: 100))
            for disk in disks + [try #require(second.model)] {
                for loss in DiskModel.Loss.allCases {
                    let names = "\(steps[0].name) until \(stop), \(steps[1].name)"
                    let place = "round \(round): \(names), \(loss), seed \(seed)"
                    let store = try Self.store(disk.survivors(of: loss, using: &generator), root: folder.root)
                    let now = try CrashBench.open(store, later: 2 * Self.hours)
                    try bench.expectSound(now, place)
                    try CrashStep.prune.run(now, bench)
                    try bench.expectSound(now, "after \(place)")
                }
            }
        }
    }

    /// The objects among the files that survived; what has no object's name does not count, as for any store.
    private static func store(_ files: [String: [UInt8]], root: String) throws -> MemoryBlobStore {
        let store = MemoryBlobStore()
        for (path, bytes) in files {
            let relative = path.dropFirst(root.count + 1)
            let name = relative.split(separator: "/").last.map(String.init) ?? ""
            let kind = BlobKind.allCases.first { $0 != .config && relative.hasPrefix($0.folder + "/") }
            let object = relative == "config" ? BlobName.config : BlobName(kind: kind ?? .data, name: name)
            if object.isValid { try store.put(object, bytes) }
        }
        return store
    }

    private static func leftovers(_ root: String) throws -> [String] {
        (FileManager.default.enumerator(atPath: root)?.allObjects as? [String] ?? []).filter { $0.contains("tmp") }
    }
}
