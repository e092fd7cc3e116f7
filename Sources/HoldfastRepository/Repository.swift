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
    /// The deletion records that this session has taken into account.
    let honoured = Mutex<Set<ObjectID>>([])

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
        try requireEmpty(store)
        let leftovers = try store.list(.key).map(\.name)
        let repository = try Repository(store: store, key: .random(), config: .random(), time: time)
        let key = BlobName(kind: .key, name: try repository.addKey(password, scrypt: scrypt))
        // The config comes last: without it there is no repository, and creating it can be tried again. It is what two
        // creators at once compete for; the loser has put a key that opens nothing.
        do { try repository.files.save(repository.config.encoded(), as: .config) } catch let error as HoldfastError
            where error.code == .conflict
        {
            try repository.withdraw(key)
            throw error
        }
        // Of a creation that was interrupted, or that lost: no config is sealed with these.
        for name in leftovers { try store.delete(name) }
        return repository
    }

    /// Removes the key of a creation that lost, unless a site has its config.
    private func withdraw(_ name: BlobName) throws {
        do {
            if try files.loadConfig() == nil { try store.delete(name) }
        } catch is HoldfastError {
            // A key that stays is passed over by whoever opens the repository.
        }
    }

    /// Opens a repository.
    ///
    /// - Throws: `notFound` if there is none, `wrongPassword`, `damaged`; `conflict` if the password opens different
    ///   repositories on different sites; or what the store throws.
    public static func open(
        store: any BlobStore, password: Secret, time: any TimeSource = SystemTime()
    ) throws -> Repository {
        let sites = store as? ReplicatedBlobStore
        sites?.judge { name, bytes in (try? DigestContext.once(bytes).description) == name.name }
        let configs = sites?.configs() ?? [:]
        // All sites of a repository have the same bytes; else the password may open more than one.
        let isUniform = Set(configs.values).count < 2
        let keys = try store.list(.key).map(\.name).sorted { $0.name < $1.name }
        var opened: [MasterKey] = []
        var failure: HoldfastError?
        for name in keys {
            do {
                guard let key = try KeyFile.load(name, from: store).open(password) else { continue }
                opened.append(key)
            } catch let error as HoldfastError
                where [.damaged, .unsupported, .notFound].contains(error.code)
            {
                // Another key may be whole, and the password's.
                failure = failure ?? error
                continue
            }
            if isUniform, let repository = try open(store, opened[opened.count - 1], time) { return repository }
        }
        if !isUniform {
            try requireOne(configs, opened)
            for key in opened { if let repository = try open(store, key, time) { return repository } }
        }
        // Tells a missing repository from a wrong password.
        _ = try store.get(.config)
        if !opened.isEmpty {
            throw HoldfastError(.damaged, "config is damaged, or not sealed with the password's key")
        }
        if let failure { throw failure }
        if keys.isEmpty { throw HoldfastError(.damaged, "the repository has a config and no keys") }
        throw HoldfastError(
            .wrongPassword, "the password opens none of the repository's \(keys.count) keys",
            hint: "Give the password of this repository")
    }

    /// The repository whose config is sealed with a key; nil if there is none, as for keys of a creation that did not
    /// end.
    private static func open(
        _ store: any BlobStore, _ key: MasterKey, _ time: any TimeSource
    ) throws -> Repository? {
        guard let text = try ObjectFiles(store: store, key: key).loadConfig() else { return nil }
        let repository = try Repository(store: store, key: key, config: RepositoryConfig(decoding: text), time: time)
        try repository.honourDeletions()
        return repository
    }

    /// Refuses to guess which of several repositories is meant.
    ///
    /// - Parameters:
    ///   - configs: by the names of the sites.
    ///   - keys: those that the password opens.
    private static func requireOne(_ configs: [String: [UInt8]], _ keys: [MasterKey]) throws {
        let sealings = try keys.map { try SealingContext($0) }
        var first: (site: String, id: String)?
        for (site, bytes) in configs.sorted(by: { $0.key < $1.key }) {
            guard let text = sealings.lazy.compactMap({ RepositoryConfig.opened(bytes, $0) }).first else { continue }
            let id = try RepositoryConfig(decoding: text).id
            if let first, first.id != id {
                throw HoldfastError(
                    .conflict,
                    "site '\(first.site)' holds the repository \(first.id), and site '\(site)' the repository \(id); "
                        + "one password opens both",
                    hint: "Find out which one has the backups, and take the other site out of the project")
            }
            first = first ?? (site, id)
        }
    }

    /// Refuses a store with a repository in it.
    private static func requireEmpty(_ store: any BlobStore) throws {
        let conflict = HoldfastError(
            .conflict, "there is a repository in the store already", hint: "Open it, or choose another place")
        do {
            _ = try store.get(.config)
            throw conflict
        } catch let error as HoldfastError where error.code == .notFound {}
        for kind in [BlobKind.snapshot, .index, .data] where try !store.list(kind).isEmpty { throw conflict }
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
