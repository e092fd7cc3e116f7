// HoldfastRepository: the backup engine, and a complete reader and writer of restic's repository format, version 2.
// It chunks, deduplicates, compresses, seals and packs what it is given, and puts objects into a blob store.
// It restores and checks what is there, whoever wrote it; restic reads what it writes.
// Work runs on threads of its own; every call blocks, and none belongs on Swift's cooperative pool.
// Order of writes: packs durable, then index files, then the snapshot object. Source: restic's design document.

import CHoldfastFiles
import Foundation
import HoldfastBlobStore
import HoldfastModel
import Synchronization

/// An open repository: one per project and site set. Thread-safe.
public final class Repository: Sendable {
    let store: any BlobStore
    let key: MasterKey
    let config: RepositoryConfig
    let chunker: Chunker
    let time: any TimeSource
    private let loaded = Mutex(BlobIndex())
    private let cache = Mutex<RepositoryCache?>(nil)

    /// The repository's id: 64 hexadecimal digits.
    public var id: String { config.id }

    private init(store: any BlobStore, key: MasterKey, config: RepositoryConfig, time: any TimeSource) throws {
        self.store = store
        self.key = key
        self.config = config
        self.time = time
        chunker = try Chunker(identity: config.id)
    }

    /// Makes a new repository in an empty store.
    ///
    /// - Parameters:
    ///   - password: what opens it, also for restic.
    ///   - scrypt: `.randomPassword` only for passwords of 256 random bits.
    /// - Throws: `conflict` if there is a repository already.
    public static func create(
        store: any BlobStore, password: Secret, scrypt: ScryptCost = .randomPassword,
        time: any TimeSource = SystemTime()
    ) throws -> Repository {
        try prepareEmpty(store)
        let key = try MasterKey.random()
        let keyFile = try KeyFile.seal(key, password: password, cost: scrypt, created: Timestamp(time.now()))
        let keyText = keyFile.encoded()
        try store.put(BlobName(kind: .key, name: DigestContext.once(keyText).description), keyText)
        let config = try RepositoryConfig.random()
        // The config comes last: without it there is no repository, and creating it can be tried again.
        try ObjectFiles(store: store, key: key).save(config.encoded(), as: .config)
        return try Repository(store: store, key: key, config: config, time: time)
    }

    /// Opens a repository.
    ///
    /// - Throws: `notFound` if there is none, `wrongPassword`, `damaged`, or what the store throws.
    public static func open(
        store: any BlobStore, password: Secret, time: any TimeSource = SystemTime()
    ) throws -> Repository {
        let keys = try store.list(.key)
        var isSealedOtherwise = false
        var failure: HoldfastError?
        for entry in keys.sorted(by: { $0.name.name < $1.name.name }) {
            let opened: MasterKey?
            do {
                opened = try KeyFile.load(entry.name, from: store).open(password)
            } catch let error as HoldfastError
                where [.damaged, .unsupported, .notFound].contains(error.code)
            {
                // Another key may be whole, and the password's.
                failure = failure ?? error
                continue
            }
            guard let key = opened else { continue }
            // Keys of a creation that did not end open as well, but no config is sealed with theirs.
            guard let text = try ObjectFiles(store: store, key: key).loadConfig() else {
                isSealedOtherwise = true
                continue
            }
            let repository = try Repository(
                store: store, key: key, config: RepositoryConfig(decoding: text), time: time)
            try repository.honourDeletions()
            return repository
        }
        // Tells a missing repository from a wrong password.
        _ = try store.get(.config)
        if isSealedOtherwise {
            throw HoldfastError(.damaged, "config is damaged, or not sealed with the password's key")
        }
        if let failure { throw failure }
        if keys.isEmpty { throw HoldfastError(.damaged, "the repository has a config and no keys") }
        throw HoldfastError(
            .wrongPassword, "the password opens none of the repository's \(keys.count) keys",
            hint: "Give the password of this repository")
    }

    /// Refuses a store with a repository in it, and removes keys that an interrupted creation left.
    private static func prepareEmpty(_ store: any BlobStore) throws {
        let conflict = HoldfastError(
            .conflict, "there is a repository in the store already", hint: "Open it, or choose another place")
        do {
            _ = try store.get(.config)
            throw conflict
        } catch let error as HoldfastError where error.code == .notFound {}
        for kind in [BlobKind.snapshot, .index, .data] where try !store.list(kind).isEmpty { throw conflict }
        for entry in try store.list(.key) { try store.delete(entry.name) }
    }

    /// Uses a cache from now on. A cache that cannot be used is no error: the repository is read instead.
    ///
    /// - Returns: whether it can be used.
    @discardableResult
    public func use(_ cache: LocalCache) -> Bool {
        let opened = RepositoryCache(cache, repository: id, key: key)
        self.cache.withLock { $0 = opened }
        return opened != nil
    }

    var localCache: RepositoryCache? { cache.withLock { $0 } }

    var files: ObjectFiles { ObjectFiles(store: store, key: key) }

    /// Adds a key file for another password; the old ones stay.
    public func addPassword(_ password: Secret, scrypt: ScryptCost = .randomPassword) throws {
        let file = try KeyFile.seal(key, password: password, cost: scrypt, created: Timestamp(time.now()))
        let text = file.encoded()
        try store.put(BlobName(kind: .key, name: DigestContext.once(text).description), text)
    }

    // MARK: Snapshots

    /// All snapshots, oldest first.
    ///
    /// - Throws: `damaged` naming the first one that cannot be read; `check` names all.
    public func snapshots() throws -> [SnapshotEntry] {
        var entries: [SnapshotEntry] = []
        for entry in try store.list(.snapshot) {
            guard let id = SnapshotID(entry.name.name) else { continue }
            do {
                entries.append(SnapshotEntry(id: id, snapshot: try snapshot(id)))
            } catch let error as HoldfastError where error.code == .notFound {
                continue  // forgotten meanwhile
            }
        }
        return entries.sorted {
            ($0.snapshot.info.time, $0.id.description) < ($1.snapshot.info.time, $1.id.description)
        }
    }

    /// - Throws: `notFound`, `damaged`.
    public func snapshot(_ id: SnapshotID) throws -> Snapshot {
        try Snapshot(decoding: files.load(.snapshot, id.object), id: id.object)
    }

    /// Removes the snapshot object; no error if there is none. The space comes back with the next prune. A site that is
    /// away removes it when it is healed.
    ///
    /// No lock is needed: nothing that another reader or writer may need goes away but the object itself.
    public func forget(_ id: SnapshotID) throws {
        try remove([BlobName(kind: .snapshot, name: id.description)])
    }

    // MARK: Index

    /// The index with everything that the store's index files say now.
    ///
    /// - Parameter unreadable: called for each index file that cannot be read; if it throws, so does this.
    func currentIndex(unreadable: (ObjectID, any Error) throws -> Void = { throw $1 }) throws -> BlobIndex {
        let present = Set(try store.list(.index).compactMap { ObjectID(hex: $0.name.name) })
        return try loaded.withLock { index in
            // Files that are gone were replaced by others: what they said may be wrong now.
            if !index.files.isSubset(of: present) { index = BlobIndex() }
            let missing = present.subtracting(index.files)
            for id in missing {
                do {
                    index.add(file: id, try indexFile(id))
                } catch {
                    try unreadable(id, error)
                }
            }
            if !missing.isEmpty {
                localCache?.trim(index: present)
                holdfast_trim_memory()  // The texts were several times as large as the index.
            }
            return index
        }
    }

    /// How many blobs the index files name, and how many bytes that takes in memory.
    package func indexSize() throws -> (blobs: Int, bytes: Int) {
        let index = try currentIndex()
        return (index.blobCount, index.size)
    }

    func reader(_ index: BlobIndex) throws -> BlobReader { try BlobReader(store: store, key: key, index: index) }

    /// Takes a lock that excludes all others, backups included; held until it is released.
    package func lockExclusively() throws -> LockKeeper {
        try LockKeeper.take(files, isExclusive: true, time: time)
    }

    /// Takes a lock, or none if the store cannot be written to: reading must be possible all the same.
    func lockForReading() throws -> LockKeeper? {
        do {
            return try LockKeeper.take(files, isExclusive: false, time: time, toleratesDamage: true)
        } catch let error as HoldfastError where error.code == .locked {
            throw error
        } catch {
            return nil
        }
    }
}
