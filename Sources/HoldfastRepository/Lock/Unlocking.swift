import HoldfastBlobStore
import HoldfastModel

extension Repository {
    /// Removes locks whose owners are gone.
    ///
    /// - Parameter all: remove every lock, also one that is held: only if nobody works on the repository.
    /// - Returns: how many were removed.
    package func removeLocks(all: Bool) throws -> Int {
        let going = all ? try store.list(.lock).map(\.name).filter { ObjectID(hex: $0.name) != nil } : try staleLocks()
        for name in going { try store.delete(name) }
        return going.count
    }

    /// Locks whose owners are gone. One that cannot be read says nothing about its owner, and is none of them.
    package func staleLocks() throws -> [BlobName] {
        let now = Timestamp(time.now())
        return try store.list(.lock).map(\.name).filter { name in
            guard let id = ObjectID(hex: name.name) else { return false }
            let lock = try? LockFile(decoding: files.load(.lock, id), id: id)
            return lock?.isStale(now: now) ?? false
        }
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
            try? remove(names.reversed())
            throw error
        }
    }
}
