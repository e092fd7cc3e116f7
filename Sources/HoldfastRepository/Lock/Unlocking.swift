import HoldfastBlobStore
import HoldfastModel

extension Repository {
    /// Removes locks whose owners are gone.
    ///
    /// - Parameter all: remove every lock, also one that is held: only if nobody works on the repository.
    /// - Returns: how many were removed.
    package func removeLocks(all: Bool) throws -> Int {
        let now = Timestamp(time.now())
        var removed = 0
        for entry in try store.list(.lock) {
            guard let id = ObjectID(hex: entry.name.name) else { continue }
            if !all {
                // One that cannot be read says nothing about its owner, and stays.
                guard let lock = try? LockFile(decoding: files.load(.lock, id), id: id), lock.isStale(now: now) else {
                    continue
                }
            }
            try store.delete(entry.name)
            removed += 1
        }
        return removed
    }

    /// Runs a changing piece of work with nobody else in the repository.
    ///
    /// - Parameter body: gets the lock, and looks for it before anything that cannot be taken back.
    /// - Throws: `locked`.
    package func whileAlone<Result>(_ body: (LockKeeper) throws -> Result) throws -> Result {
        let lock = try lockExclusively()
        defer { lock.release() }
        return try body(lock)
    }

    /// Makes sure that a lock was there until now.
    ///
    /// - Parameter names: what was stored under its protection, in order; it is removed if the lock is gone, or if
    ///   nobody can tell: a prune may have taken what it needs.
    /// - Throws: `locked` if somebody took it for stale and removed it; what the store throws.
    func requireHeld(_ lock: LockKeeper, orTakeBack names: [BlobName]) throws {
        do { try lock.requireHeld() } catch {
            // If that fails, too, the reason why is the first one.
            try? remove(names.reversed(), leavesGaps: true)
            throw error
        }
    }
}
