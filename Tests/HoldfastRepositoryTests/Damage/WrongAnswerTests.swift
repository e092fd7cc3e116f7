import Foundation
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

/// A store that breaks its contract: its answers are shorter or longer than what was asked for.
private struct WrongAnswerStore: BlobStore {
    let inner: any BlobStore
    /// What becomes of the bytes of packs.
    let change: @Sendable ([UInt8]) -> [UInt8]

    func put(_ name: BlobName, _ bytes: UnsafeRawBufferPointer) throws { try inner.put(name, bytes) }
    func get(_ name: BlobName) throws -> [UInt8] { changed(name, try inner.get(name)) }
    func get(_ name: BlobName, range: Range<Int>) throws -> [UInt8] {
        changed(name, try inner.get(name, range: range))
    }
    func size(_ name: BlobName) throws -> Int { try inner.size(name) }
    func list(_ kind: BlobKind) throws -> [BlobEntry] { try inner.list(kind) }
    func delete(_ name: BlobName) throws { try inner.delete(name) }

    private func changed(_ name: BlobName, _ bytes: [UInt8]) -> [UInt8] { name.kind == .data ? change(bytes) : bytes }
}

/// No slice is ever longer than the memory behind it: each of these would read beyond it in an optimised build.
@Suite(.serialized) struct WrongAnswerTests {
    private struct Bench {
        let directory: ScratchFolder
        let store = MemoryBlobStore()
        let snapshot: SnapshotID

        init(seed: UInt64) throws {
            directory = try ScratchFolder()
            var generator = SeededGenerator(seed: seed)
            try makeDirectory(directory("data"))
            try writeFile(directory("data/large"), generator.bytes(3 << 20))
            try RandomTree.makeMany(directory("data/many"), files: 12, using: &generator)
            snapshot = try TestRepository.backUp(directory("data"), to: store).id
        }

        /// Every way to read packs ends with an answer or with an error that names damage.
        func readEverything(_ store: any BlobStore, _ place: String) throws {
            let repository = try CrashBench.open(store)
            func attempt(_ body: () throws -> Void) {
                do { try body() } catch {
                    let code = (error as? HoldfastError)?.code
                    #expect(code == .damaged || code == .notFound || code == .conflict, "\(place): \(error)")
                }
            }
            attempt { _ = try repository.check(readData: true) }
            attempt {
                try? FileManager.default.removeItem(atPath: directory("out"))
                let report = try repository.restore(TreePath(snapshot, path: "/data"), to: directory("out"))
                let names = FileManager.default.subpaths(atPath: directory("out")) ?? []
                for name in names {
                    var isDirectory: ObjCBool = false
                    _ = FileManager.default.fileExists(atPath: directory("out/" + name), isDirectory: &isDirectory)
                    if isDirectory.boolValue { continue }
                    #expect(
                        FileManager.default.contents(atPath: directory("out/" + name))
                            == FileManager.default.contents(atPath: directory("data/" + name)), "\(place): \(name)")
                }
                #expect(names.count > 2 || !report.isComplete)
            }
            attempt { try repository.dump(snapshot, path: "/data/large") { #expect($0.count <= 3 << 20) } }
            attempt { _ = try repository.planRepair(readData: true) }
            attempt { _ = try repository.planPrune(PruneOptions(maxUnusedPercent: 0)) }
            attempt {
                let target = try Repository.create(store: MemoryBlobStore(), password: TestRepository.password)
                _ = try repository.copy(of: repository.records(), into: target)
            }
        }
    }

    @Test func `answers that are too short or too long are damage, and nothing else`() throws {
        let bench = try Bench(seed: 231)
        let changes: [(String, @Sendable ([UInt8]) -> [UInt8])] = [
            ("none", { _ in [] }), ("one byte", { Array($0.prefix(1)) }), ("31 bytes", { Array($0.prefix(31)) }),
            ("32 bytes", { Array($0.prefix(32)) }), ("a page", { Array($0.prefix(4096)) }),
            ("half", { Array($0.prefix($0.count / 2)) }), ("one less", { Array($0.dropLast(1)) }),
            ("without the start", { Array($0.dropFirst(16)) }), ("one more", { $0 + [0] }), ("twice", { $0 + $0 }),
        ]
        for (place, change) in changes {
            let store = WrongAnswerStore(inner: bench.store, change: change)
            try bench.readEverything(store, place)
            // One of two sites: what the other one has is enough.
            let sites = zip(["wrong", "good"], [store as any BlobStore, bench.store]).map {
                Site(name: $0, region: "r", location: $0, store: $1)
            }
            let repository = try CrashBench.open(ReplicatedBlobStore(sites: sites, quorum: 1))
            try? FileManager.default.removeItem(atPath: bench.directory("both"))
            let report = try repository.restore(
                TreePath(bench.snapshot, path: "/data"), to: bench.directory("both"))
            #expect(report.problems == [], "\(place)")
            try expectSame(bench.directory("data"), bench.directory("both"))
        }
    }

    @Test func `an index whose offsets and lengths lie beyond the pack is damage, and nothing else`() throws {
        let bench = try Bench(seed: 232)
        let texts = try StoredForm.index.samples(in: CrashBench.open(bench.store))
        let names = try bench.store.list(.index).map(\.name)
        let kept = try names.map { ($0, try bench.store.get($0)) }
        let sizes = try bench.store.list(.data).map(\.size)
        var numbers = ["0", "1", "4294967295", "4294967264", "2147483648", "8388608", "536870912", "536870976"]
        numbers += sizes.flatMap { ["\($0)", "\($0 - 32)", "\($0 + 1)", "\($0 - 1)"] }
        for field in ["offset", "length", "uncompressed_length"] {
            for number in numbers {
                for name in names { try bench.store.delete(name) }
                for text in texts {
                    let changed = String(decoding: text, as: UTF8.self).replacing(
                        try Regex("\"\(field)\":[0-9]+"), with: "\"\(field)\":\(number)")
                    _ = try StoredForm.index.store(Array(changed.utf8), in: CrashBench.open(bench.store))
                }
                try bench.readEverything(bench.store, "\(field) \(number)")
                for entry in try bench.store.list(.index) { try bench.store.delete(entry.name) }
                for (name, bytes) in kept { try bench.store.put(name, bytes) }
            }
        }
        #expect(try CrashBench.open(bench.store).check(readData: true).problems == [])
    }
}
