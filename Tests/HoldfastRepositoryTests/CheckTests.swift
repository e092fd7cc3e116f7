import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Synchronization
import Testing

@Suite struct CheckTests {
    /// A repository of about thirty packs.
    private func sample(_ directory: ScratchFolder) throws -> TestRepository {
        let test = try TestRepository(directory)
        for number in 0..<14 {
            let session = try test.repository.beginBackup()
            try session.add(bytes: Array("file \(number)".utf8), as: "/file")
            _ = try session.finish(TestRepository.info())
        }
        return test
    }

    @Test func `all parts together read every pack once, and a part is the same each time`() throws {
        let directory = try ScratchFolder()
        let test = try sample(directory)
        let all = try test.repository.check(readData: .all)
        let parts = try (1...3).map { try test.repository.check(readData: .part($0, of: 3)) }
        #expect(all.packsRead == all.packs && all.packs == 28)
        #expect(parts.reduce(0) { $0 + $1.packsRead } == all.packs && parts.allSatisfy { $0.packsRead < all.packs })
        #expect(parts.reduce(0) { $0 + $1.bytesRead } == all.bytesRead)
        #expect(try test.repository.check(readData: .part(2, of: 3)).bytesRead == parts[1].bytesRead)
        #expect(try test.repository.check(readData: .none).packsRead == 0)
    }

    @Test func `a percentage reads so many packs, and at least one`() throws {
        let directory = try ScratchFolder()
        let test = try sample(directory)
        var generator = SeededGenerator(seed: 81)
        #expect(try test.repository.check(readData: .percent(25), using: &generator).packsRead == 7)
        #expect(try test.repository.check(readData: .percent(0.1)).packsRead == 1)
        #expect(try test.repository.check(readData: .percent(100)).packsRead == 28)
    }

    @Test(arguments: [ReadData.percent(0), .percent(101), .part(0, of: 3), .part(4, of: 3), .part(1, of: 0)])
    func `a choice of packs that cannot be is refused`(_ choice: ReadData) throws {
        let test = try TestRepository(ScratchFolder())
        let error = #expect(throws: HoldfastError.self) { try test.repository.check(readData: choice) }
        #expect(error?.code == .invalidInput)
    }

    @Test func `with several sites each copy of a pack is read once`() throws {
        let directory = try ScratchFolder()
        let test = try sample(directory)
        var generator = SeededGenerator(seed: 82)
        let packs = try test.store.list(.data).map(\.name)
        let counting = try (0..<3).map { _ in
            let copy = MemoryBlobStore()
            for kind in BlobKind.allCases {
                for entry in try test.store.list(kind) { try copy.put(entry.name, test.store.get(entry.name)) }
            }
            return WholeReads(copy)
        }
        // The first copy of one pack is damaged, and the second of another.
        let damaged = [packs[3], packs[7]]
        for (name, store) in zip(damaged, counting) { try store.put(name, Array(store.get(name).reversed())) }
        try counting[2].delete(packs[9])
        let sites = counting.enumerated().map { Site(name: "\($0)", region: "r", location: "\($0)", store: $1) }
        let repository = try Repository.open(
            store: ReplicatedBlobStore(sites: sites, quorum: 1), password: TestRepository.password)
        for store in counting { store.forgetReads() }
        let report = try repository.check(readData: .all)
        #expect(report.problems == [] && report.packsRead == packs.count)
        let expected = ["site '0': \(damaged[0])", "site '1': \(damaged[1])", "site '2': \(packs[9])"]
        #expect(report.siteProblems.map(\.object) == expected)
        for (number, store) in counting.enumerated() {
            let due = packs.filter { number < 2 || $0 != packs[9] }
            #expect(store.reads.filter { $0.key.kind == .data } == Dictionary(due.map { ($0, 1) }) { $0 + $1 })
            store.forgetReads()
        }
        let part = try repository.check(readData: .percent(25), using: &generator)
        #expect(part.packsRead == packs.count / 4)
        for store in counting { #expect(store.reads.filter { $0.key.kind == .data }.count <= packs.count / 4) }
    }
}

/// Counts how often each object is read as a whole.
private final class WholeReads: BlobStore {
    private let inner: any BlobStore
    private let counts = Mutex<[BlobName: Int]>([:])

    init(_ inner: any BlobStore) { self.inner = inner }

    var reads: [BlobName: Int] { counts.withLock { $0 } }
    func forgetReads() { counts.withLock { $0 = [:] } }

    func put(_ name: BlobName, _ bytes: UnsafeRawBufferPointer) throws { try inner.put(name, bytes) }
    func get(_ name: BlobName) throws -> [UInt8] {
        let bytes = try inner.get(name)
        counts.withLock { $0[name, default: 0] += 1 }
        return bytes
    }
    func get(_ name: BlobName, range: Range<Int>) throws -> [UInt8] {
        // A check reads a small pack as one piece.
        if try range == 0..<inner.size(name) { counts.withLock { $0[name, default: 0] += 1 } }
        return try inner.get(name, range: range)
    }
    func size(_ name: BlobName) throws -> Int { try inner.size(name) }
    func list(_ kind: BlobKind) throws -> [BlobEntry] { try inner.list(kind) }
    func delete(_ name: BlobName) throws { try inner.delete(name) }
}
