import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import Synchronization

/// The store of one verb: it counts what is read and written of packs, and knows the verb's own locks, so that an
/// interrupted verb leaves none.
package final class VerbStore: BlobStore {
    package enum Mode: Sendable {
        case normal
        /// Locks are neither stored nor seen: for readers of a store that cannot be written to.
        case withoutLocks
        /// Nothing is stored or removed.
        case dry
    }

    private let base: any BlobStore
    private let mode: Mode
    private let locks = Mutex<Set<BlobName>>([])
    private let readMeter = Mutex<ProgressMeter?>(nil)
    private let writeMeter = Mutex<ProgressMeter?>(nil)

    package init(_ base: any BlobStore, mode: Mode = .normal) {
        self.base = base
        self.mode = mode
    }

    /// Counts bytes of packs from now on.
    package func count(reads: ProgressMeter? = nil, writes: ProgressMeter? = nil) {
        readMeter.withLock { $0 = reads }
        writeMeter.withLock { $0 = writes }
    }

    /// Removes the locks that were taken through this store and not released.
    package func releaseLocks() {
        for name in locks.withLock({ $0 }) { try? base.delete(name) }
    }

    private func isUnreal(_ name: BlobName) -> Bool { mode != .normal && locks.withLock { $0.contains(name) } }

    package func put(_ name: BlobName, _ bytes: UnsafeRawBufferPointer) throws {
        if name.kind == .lock { locks.withLock { _ = $0.insert(name) } }
        if mode == .dry || (mode == .withoutLocks && name.kind == .lock) { return }
        try base.put(name, bytes)
        if name.kind == .data { writeMeter.withLock { $0 }?.add(items: 1, bytes: bytes.count) }
    }

    package func get(_ name: BlobName) throws -> [UInt8] { counted(name, try base.get(name)) }

    package func get(_ name: BlobName, range: Range<Int>) throws -> [UInt8] {
        counted(name, try base.get(name, range: range))
    }

    package func get(_ name: BlobName, range: Range<Int>?, where isGood: ([UInt8]) -> Bool) throws -> [UInt8] {
        counted(name, try base.get(name, range: range, where: isGood))
    }

    private func counted(_ name: BlobName, _ bytes: [UInt8]) -> [UInt8] {
        if name.kind == .data { readMeter.withLock { $0 }?.add(items: 1, bytes: bytes.count) }
        return bytes
    }

    package func size(_ name: BlobName) throws -> Int { isUnreal(name) ? 1 : try base.size(name) }

    package func list(_ kind: BlobKind) throws -> [BlobEntry] {
        kind == .lock && mode == .withoutLocks ? [] : try base.list(kind)
    }

    package func delete(_ name: BlobName) throws {
        defer { if name.kind == .lock { locks.withLock { _ = $0.remove(name) } } }
        if mode == .dry || isUnreal(name) { return }
        try base.delete(name)
    }

    package func device() -> UInt64? { base.device() }
}

/// The stores that an interruption has to tidy up.
package enum OpenStores {
    private static let stores = Mutex<[VerbStore]>([])

    static func add(_ store: VerbStore) { stores.withLock { $0.append(store) } }

    /// Removes the locks of this process; called when it is interrupted.
    package static func releaseLocks() {
        for store in stores.withLock({ $0 }) { store.releaseLocks() }
    }
}
