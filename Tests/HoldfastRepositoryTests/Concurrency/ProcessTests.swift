import Foundation
import Glibc
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

/// Several processes at one repository, and processes that are killed at any moment.
@Suite(.serialized) struct ProcessTests {
    private static let password = TestRepository.password.reveal()

    /// A repository on the disk, and directories to back up.
    private static func make(
        _ directory: ScratchFolder, seed: UInt64, files: Int
    ) throws -> (test: TestRepository, kept: FinishedBackup) {
        var generator = SeededGenerator(seed: seed)
        for name in ["kept", "a", "b"] {
            try RandomTree.makeMany(directory(name), files: files, using: &generator)
            try writeFile(directory(name) + "/large", generator.bytes(3 << 20))
        }
        let test = try TestRepository(directory)
        return (test, try test.backUp(directory("kept")).finished)
    }

    @Test func `a process killed with signal 9 at any moment loses no snapshot, and the next one goes on`() throws {
        let directory = try ScratchFolder()
        let (test, kept) = try Self.make(directory, seed: 141, files: 40)
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = SeededGenerator(seed: seed)
        let expected = try facts(of: directory("kept"))
        var kills = 0
        // How long it takes if nobody kills it.
        let start = SystemTime().monotonicNanoseconds()
        try ProofProcess.expect("backup", test.path, directory("a"))
        let whole = max((SystemTime().monotonicNanoseconds() - start) / 1000, 40_000)
        let rounds = Patience.rounds(24, long: 400)
        for round in 0..<rounds {
            let place = "round \(round), seed \(seed)"
            // Something new each time, so that there is something to write and something to prune.
            try writeFile(directory("a/new"), generator.bytes(Int.random(in: 8 << 20..<24 << 20, using: &generator)))
            let verb = ["backup", "prune", "backup", "repair"][round % 4]
            let process = try ProofProcess([verb, test.path] + (verb == "backup" ? [directory("a")] : []))
            usleep(UInt32.random(in: 0..<UInt32(clamping: whole), using: &generator))
            if process.isRunning { kills += 1 }
            process.kill()
            #expect(!process.errors.contains("atal"), "\(place): \(process.errors)")
            let repository = try Repository.open(store: test.store, password: TestRepository.password)
            #expect(try repository.check(readData: true).problems == [], "\(place), \(verb)")
            let snapshots = try repository.snapshots()
            #expect(snapshots.contains { $0.id == kept.id }, "\(place)")
            if round % 2 == 1 {
                for entry in snapshots.dropLast() where entry.id != kept.id { try repository.forget(entry.id) }
            }
            if round % 8 == 7 {
                try test.restic.check()
                #expect(try test.restore(kept.id, to: "out\(round)").problems == [])
                try expectSame(expected, directory("out\(round)"))
            }
        }
        #expect(kills > rounds / 4, "\(kills) of \(rounds) were killed while they worked")
        try ProofProcess.expect("prune", test.path)
        try ProofProcess.expect("backup", test.path, directory("b"))
        let repository = try Repository.open(store: test.store, password: TestRepository.password)
        #expect(try repository.planPrune(PruneOptions(maxUnusedPercent: 0)).isEmpty)
        #expect(try test.store.list(.lock).isEmpty)
        #expect(try test.store.removeLeftovers() == 0)
        try test.restic.check()
    }

    @Test func `two backups and a prune at once, by processes of their own, harm nobody`() throws {
        let directory = try ScratchFolder()
        let (test, kept) = try Self.make(directory, seed: 142, files: 30)
        var generator = SeededGenerator(seed: 143)
        for round in 0..<Patience.rounds(4, long: 60) {
            try writeFile(directory("a/new"), generator.bytes(2 << 20))
            try writeFile(directory("b/new"), generator.bytes(2 << 20))
            var open = ["a", "b", "prune"]
            var made: [String: String] = [:]
            var attempts = 0
            while !open.isEmpty && attempts < 40 {
                attempts += 1
                let processes = try open.map { name in
                    let arguments = name == "prune" ? ["prune", test.path] : ["backup", test.path, directory(name)]
                    return (name, try ProofProcess(arguments))
                }
                for (name, process) in processes {
                    let status = process.wait()
                    // A prune may also find that its plan is out of date, or be told that a lock is held.
                    let mayGiveWay = status == 11 || (name == "prune" && process.errors.contains("changed since"))
                    #expect(status == 0 || mayGiveWay, "round \(round), \(name): \(process.errors)")
                    if status != 0 { continue }
                    open.removeAll { $0 == name }
                    made[name] = process.output.trimmingCharacters(in: .whitespacesAndNewlines)
                }
            }
            #expect(open.isEmpty, "round \(round): \(open) never got through")
            let repository = try Repository.open(store: test.store, password: TestRepository.password)
            #expect(try repository.check(readData: true).problems == [], "round \(round)")
            for name in ["a", "b"] {
                let id = try #require(SnapshotID(made[name] ?? ""))
                #expect(try test.restore(id, to: "\(name)\(round)").problems == [])
                try expectSame(directory(name), directory("\(name)\(round)"))
            }
            try ProofProcess.expect("forget", test.path, "\(kept.id)")
        }
        #expect(try test.restore(kept.id, to: "kept-out").problems == [])
        try expectSame(directory("kept"), directory("kept-out"))
        try test.restic.check()
    }

    @Test func `a restore during a prune is whole, and the prune waits for it`() throws {
        let directory = try ScratchFolder()
        let (test, kept) = try Self.make(directory, seed: 144, files: 60)
        for round in 0..<Patience.rounds(3, long: 30) {
            let other = try ProofProcess.expect("backup", test.path, directory("b"))
            try ProofProcess.expect("forget", test.path, "\(kept.id)")
            #expect(!other.isEmpty)
            let restore = try ProofProcess("restore", test.path, "\(kept.id)", directory("out\(round)"))
            let prune = try ProofProcess("prune", test.path)
            let statuses = [restore.wait(), prune.wait()]
            #expect(statuses.allSatisfy { $0 == 0 || $0 == 11 }, "\(restore.errors)\(prune.errors)")
            if statuses[0] == 0 { try expectSame(directory("kept"), directory("out\(round)")) }
            try ProofProcess.expect("prune", test.path)
        }
        // In the middle of a restore, whenever that is.
        let store = FaultyBlobStore(test.store)
        let repository = try Repository.open(store: store, password: TestRepository.password, time: SystemTime())
        let path = test.path
        store.setScript([
            Fault(
                .run {
                    let prune = try ProofProcess("prune", path)
                    #expect(prune.wait() == 11, "\(prune.errors)")
                }, on: [.get], of: [.data], calls: 3...3)
        ])
        let report = try repository.restore(TreePath(kept.id, path: "/data"), to: directory("out"))
        #expect(report.problems == [])
        try expectSame(directory("kept"), directory("out"))
    }

    @Test func `restic and we work at once, and both are content with what is there`() throws {
        let directory = try ScratchFolder()
        let (test, kept) = try Self.make(directory, seed: 145, files: 40)
        var generator = SeededGenerator(seed: 146)
        for round in 0..<Patience.rounds(2, long: 20) {
            try writeFile(directory("a/new"), generator.bytes(3 << 20))
            let ours = try ProofProcess("backup", test.path, directory("a"))
            let theirs = try test.restic.run("backup", directory("b"))
            #expect(theirs.status == 0, "\(theirs.errors)")
            #expect(ours.wait() == 0, "\(ours.errors)")
            let backup = try ProofProcess("backup", test.path, directory("b"))
            let prune = try test.restic.run("prune", "--max-unused", "0")
            let status = backup.wait()
            #expect(status == 0 || status == 11, "\(backup.errors)")
            #expect(prune.status == 0 || (prune.output + prune.errors).contains("locked"), "\(prune.errors)")
            let ourPrune = try ProofProcess("prune", test.path)
            let theirBackup = try test.restic.run("backup", directory("a"))
            #expect(
                [0, 11].contains(ourPrune.wait()) || ourPrune.errors.contains("changed since"), "\(ourPrune.errors)")
            #expect(
                theirBackup.status == 0 || (theirBackup.output + theirBackup.errors).contains("locked"),
                "\(theirBackup.errors)")
            let repository = try Repository.open(store: test.store, password: TestRepository.password)
            #expect(try repository.check(readData: true).problems == [], "round \(round)")
            try test.restic.check()
        }
        #expect(try test.restore(kept.id, to: "out").problems == [])
        try expectSame(directory("kept"), directory("out"))
    }
}
