import Glibc
import HoldfastBlobStore
import HoldfastModel
import Synchronization

/// Holds one lock in a repository, and refreshes it on a thread of its own until it is released.
package final class LockKeeper: Sendable {
    private static let refreshMilliseconds: Int32 = 5 * 60 * 1000

    private struct State {
        var id: ObjectID
        var isReleased = false
        /// Somebody took it for stale and removed it; it never counts as held again.
        var isLost = false
    }

    private let files: ObjectFiles
    private let time: any TimeSource
    private let isExclusive: Bool
    private let state: Mutex<State>
    /// Closing the writing end wakes the refreshing thread.
    private let wakeup: Mutex<Descriptor?>

    /// Takes a lock.
    ///
    /// The own lock is stored first and the others are listed then: of two that exclude each other at least one sees
    /// the other. Stale locks are removed.
    ///
    /// - Parameter toleratesDamage: whether locks that cannot be read are passed over: for reading only.
    /// - Throws: `locked` naming who holds a lock that excludes this one.
    static func take(
        _ files: ObjectFiles, isExclusive: Bool, time: any TimeSource, toleratesDamage: Bool = false
    ) throws -> LockKeeper {
        let lock = LockFile.own(isExclusive: isExclusive, time: Timestamp(time.now()))
        let id = try files.save(lock.encoded(), as: .lock)
        do {
            var stale: Set<ObjectID> = []
            // Whoever refreshes a lock that was taken for stale shows in the second listing.
            while try removeStale(files, own: id, lock, toleratesDamage: toleratesDamage, &stale) {}
            return try LockKeeper(files, id: id, isExclusive: isExclusive, time: time)
        } catch {
            try? files.store.delete(BlobName(kind: .lock, name: id.description))
            throw error
        }
    }

    private init(_ files: ObjectFiles, id: ObjectID, isExclusive: Bool, time: any TimeSource) throws {
        self.files = files
        self.time = time
        self.isExclusive = isExclusive
        state = Mutex(State(id: id))
        var ends: (Int32, Int32) = (-1, -1)
        let result = withUnsafeMutableBytes(of: &ends) { pipe($0.baseAddress?.assumingMemoryBound(to: Int32.self)) }
        guard result == 0 else { throw systemError("open", "a pipe") }
        _ = fcntl(ends.0, F_SETFD, FD_CLOEXEC)
        _ = fcntl(ends.1, F_SETFD, FD_CLOEXEC)
        let reader = Descriptor(ends.0)
        wakeup = Mutex(Descriptor(ends.1))
        startThread("holdfast-lock") { [weak self] in
            var waiter = pollfd(fd: reader.raw, events: Int16(POLLIN), revents: 0)
            while true {
                let result = poll(&waiter, 1, Self.refreshMilliseconds)
                if result == 0 { self?.refresh() }
                if result > 0 || (result < 0 && errno != EINTR) { return }
            }
        }
    }

    /// Removes the lock; more calls do nothing.
    package func release() {
        let id = state.withLock { state -> ObjectID? in
            if state.isReleased { return nil }
            state.isReleased = true
            return state.id
        }
        wakeup.withLock { $0 = nil }
        guard let id else { return }
        // A lock that cannot be removed goes stale by itself.
        try? files.store.delete(BlobName(kind: .lock, name: id.description))
    }

    /// Makes sure that the lock is still there, before something is removed or promised under its protection.
    ///
    /// - Throws: `locked` if somebody took it for stale and removed it.
    package func requireHeld() throws {
        try state.withLock { state in
            guard try isThere(&state) else {
                throw HoldfastError(
                    .locked, "the lock of this process was removed by another one, which took it for stale",
                    hint: "Try again, and compare the clocks of the machines that use this repository")
            }
        }
    }

    private func isThere(_ state: inout State) throws -> Bool {
        if state.isLost { return false }
        do {
            _ = try files.store.size(BlobName(kind: .lock, name: state.id.description))
        } catch let error as HoldfastError where error.code == .notFound {
            state.isLost = true
        }
        return !state.isLost
    }

    /// Replaces the lock by one with the time of now. Called by the thread, and by tests.
    package func refresh() {
        state.withLock { state in
            guard !state.isReleased, !state.isLost else { return }
            let lock = LockFile.own(isExclusive: isExclusive, time: Timestamp(time.now()))
            // A refresh that fails is tried again in five minutes, long before the lock is stale.
            guard let id = try? files.save(lock.encoded(), as: .lock) else { return }
            // The new one is there before the old one is looked for: whoever removes the old one now sees the new one,
            // and who removed it before works already.
            guard (try? isThere(&state)) == true else {
                try? files.store.delete(BlobName(kind: .lock, name: id.description))
                return
            }
            try? files.store.delete(BlobName(kind: .lock, name: state.id.description))
            state.id = id
        }
    }

    /// Looks at all other locks, and removes those that are stale.
    ///
    /// - Parameter stale: those that were removed.
    /// - Returns: whether there were any that were not known before.
    /// - Throws: `locked` if one excludes ours.
    private static func removeStale(
        _ files: ObjectFiles, own: ObjectID, _ ours: LockFile, toleratesDamage: Bool, _ stale: inout Set<ObjectID>
    ) throws -> Bool {
        var hasRemoved = false
        for entry in try files.store.list(.lock) {
            guard let id = ObjectID(hex: entry.name.name), id != own else { continue }
            let lock: LockFile
            do {
                lock = try LockFile(decoding: files.load(.lock, id), id: id)
            } catch let error as HoldfastError where error.code == .notFound {
                continue
            } catch let error as HoldfastError where error.code == .damaged || error.code == .unsupported {
                if toleratesDamage { continue }
                // Torn or foreign: it says nothing about who holds what. restic asks for `unlock` here as well.
                throw HoldfastError(
                    .locked, "the lock \(id) cannot be read", hint: "Run 'restic unlock' once no backup runs",
                    cause: error)
            }
            if lock.isStale(now: ours.time) {
                try? files.store.delete(entry.name)
                if stale.insert(id).inserted { hasRemoved = true }
            } else if lock.isExclusive || ours.isExclusive {
                throw HoldfastError(
                    .locked,
                    "the repository is locked by process \(lock.process) of \(lock.username) on \(lock.hostname)",
                    hint: "Wait until that has ended, or run 'restic unlock' if it is gone")
            }
        }
        return hasRemoved
    }
}
