import HoldfastBlobStore
import HoldfastModel
import Synchronization

/// Everything that the repository's index files say, in memory; thread-safe.
final class BlobIndex: Sendable {
    private struct State: ~Copyable {
        var table = BlobTable()
        var packs: [ObjectID] = []
        var packNumbers: [ObjectID: UInt32] = [:]
        var files: Set<ObjectID> = []
    }

    private let state = Mutex(State())

    var blobCount: Int { state.withLock { $0.table.count } }
    /// Bytes that the blobs take in memory; packs are few.
    var size: Int { state.withLock { $0.table.size } }
    var files: Set<ObjectID> { state.withLock { $0.files } }
    var packs: [ObjectID] { state.withLock { $0.packs } }

    func contains(_ id: ObjectID, _ type: BlobType) -> Bool {
        state.withLock { $0.table.find(id, type) != nil }
    }

    /// Where a blob lies, and the name of its pack.
    func locate(_ id: ObjectID, _ type: BlobType) -> (location: BlobLocation, pack: ObjectID)? {
        state.withLock { state in
            guard let number = state.table.find(id, type) else { return nil }
            let location = state.table[number]
            return (location, state.packs[Int(location.pack)])
        }
    }

    func packName(_ number: UInt32) -> ObjectID { state.withLock { $0.packs[Int(number)] } }

    /// Adds what one index file says.
    func add(file: ObjectID, _ packs: [(id: ObjectID, entries: [PackEntry])]) {
        state.withLock { _ = $0.files.insert(file) }
        add(packs)
    }

    /// Adds packs, whatever file names them.
    func add(_ packs: [(id: ObjectID, entries: [PackEntry])]) {
        state.withLock { state in
            for pack in packs {
                let number: UInt32
                if let known = state.packNumbers[pack.id] {
                    number = known
                } else {
                    number = UInt32(state.packs.count)
                    state.packs.append(pack.id)
                    state.packNumbers[pack.id] = number
                }
                for entry in pack.entries { state.table.insert(BlobLocation(entry, pack: number)) }
            }
        }
    }

    /// Calls `body` for every blob, in the order in which they were read.
    func forEach(_ body: (BlobLocation) throws -> Void) rethrows {
        let count = blobCount
        for number in 0..<count { try body(state.withLock { $0.table[number] }) }
    }
}

/// Blobs that a session has stored or is storing: who claims one first must store it.
final class ClaimedBlobs: Sendable {
    private let known: BlobIndex
    private let claimed = Mutex(BlobTable())

    init(known: BlobIndex) { self.known = known }

    func contains(_ id: ObjectID, _ type: BlobType) -> Bool {
        known.contains(id, type) || claimed.withLock { $0.find(id, type) != nil }
    }

    /// Whether the caller is the first to need this blob, and has to store it.
    func claim(_ id: ObjectID, _ type: BlobType) -> Bool {
        if known.contains(id, type) { return false }
        let entry = PackEntry(id: id, type: type, offset: 0, length: 0, uncompressedLength: nil)
        return claimed.withLock { $0.insert(BlobLocation(entry, pack: 0)) }
    }
}
