import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

/// Two make a repository in one place at once.
@Suite struct CreationTests {
    @Test(arguments: [BlobOperation.get, .list, .put], [BlobKind.config, .key, .snapshot, .data])
    func `of two at once one succeeds, and the repository is that one's, with one key`(
        _ operation: BlobOperation, _ kind: BlobKind
    ) throws {
        let store = MemoryBlobStore()
        let second = FaultyBlobStore(store)
        // Opens nothing, as the loser's: its id is what counts.
        let other: @Sendable () throws -> Void = {
            let made = try Repository.create(store: second, password: TestRepository.password)
            try store.put(BlobName(kind: .record, name: made.id), [1])
        }
        let hook = Fault(.run { try? other() }, on: [operation], of: [kind], calls: 1...1)
        var mine: String?
        do {
            mine = try Repository.create(
                store: FaultyBlobStore(store, script: [hook]), password: TestRepository.password
            ).id
        } catch let error as HoldfastError { #expect(error.code == .conflict) }
        let ids = try [mine].compactMap { $0 } + store.list(.record).map(\.name.name)
        #expect(ids.count == 1)
        #expect(try Repository.open(store: store, password: TestRepository.password).id == ids.first)
        #expect(try store.list(.key).count == 1, "another one with the same password would mislead restic")
    }

    @Test func `what an interrupted creation left goes with the next one`() throws {
        let store = MemoryBlobStore()
        let full = FaultyBlobStore(store, script: [.diskFull(fromPut: 2)])
        #expect(throws: HoldfastError.self) { try Repository.create(store: full, password: TestRepository.password) }
        #expect(try store.list(.key).count == 1 && store.list(.config).isEmpty)
        _ = try Repository.create(store: store, password: TestRepository.password)
        #expect(try store.list(.key).count == 1)
    }
}
