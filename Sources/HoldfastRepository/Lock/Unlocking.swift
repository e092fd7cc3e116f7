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
    /// - Throws: `locked`.
    package func whileAlone<Result>(_ body: () throws -> Result) throws -> Result {
        let lock = try lockExclusively()
        defer { lock.release() }
        return try body()
    }
}
