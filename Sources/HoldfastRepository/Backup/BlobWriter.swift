import HoldfastModel
import Synchronization

/// What a session added to the repository so far.
final class AddedCounters: Sendable {
    struct Counts {
        var bytes: Int64 = 0
        var blobs = 0
    }
    private let counts = Mutex(Counts())

    func add(_ bytes: Int) {
        counts.withLock {
            $0.bytes += Int64(bytes)
            $0.blobs += 1
        }
    }
    var current: Counts { counts.withLock { $0 } }
}

/// The part of a session that its workers share.
struct BackupCore: Sendable {
    let chunker: Chunker
    let key: MasterKey
    let time: any TimeSource
    let blobs: ClaimedBlobs
    let packs: PackWriter
    let gate: WorkGate
    let counters: AddedCounters
    let queue: WorkQueue
    let windows: WindowPool
    var meter: ProgressMeter?
}

/// Hashes, deduplicates, compresses, seals and packs single blobs; one per thread.
final class BlobWriter {
    let sealing: SealingContext
    private let core: BackupCore
    private let digest: DigestContext
    private let compressor: Compressor
    private let scratch: RawBuffer
    private let mayWait: Bool

    /// - Parameter mayWait: see `PackWriter.fill`.
    init(_ core: BackupCore, mayWait: Bool) throws {
        self.core = core
        self.mayWait = mayWait
        sealing = try SealingContext(core.key)
        digest = try DigestContext()
        compressor = try Compressor()
        scratch = try RawBuffer(capacity: 64 << 10)
    }

    /// Stores a blob unless the repository has it.
    ///
    /// - Returns: its id; it is durable after the next flush of the packs.
    func store(_ plain: UnsafeRawBufferPointer, _ type: BlobType) throws -> ObjectID {
        let id = try identify(plain, type)
        guard core.blobs.claim(id, type) else { return id }
        let compressed = try compressor.compress(plain, scratch: scratch)
        let added = try core.packs.fill(type, mayWait: mayWait, sealing: sealing) { pack in
            try pack.append(
                id, payload: compressed ?? plain, uncompressedLength: compressed == nil ? nil : plain.count,
                sealing: sealing)
        }
        core.counters.add(added)
        return id
    }

    /// The digest of a blob; a pack that is waiting for its own is served by the way.
    private func identify(_ plain: UnsafeRawBufferPointer, _ type: BlobType) throws -> ObjectID {
        try digest.begin()
        if let pack = core.packs.takeUndigested(type) {
            defer { core.packs.putBack(pack) }
            try pack.digest(beside: digest, plain)
        } else {
            try digest.update(plain)
        }
        return try digest.finish()
    }
}
