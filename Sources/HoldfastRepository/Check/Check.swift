import CHoldfastFiles
import HoldfastBlobStore
import HoldfastModel

extension Repository {
    /// Looks whether everything that the snapshots need is there, and is what it should be.
    ///
    /// - Parameters:
    ///   - readData: which packs are read, with each blob in them verified.
    ///   - generator: chooses the packs of a percentage.
    /// - Returns: all that is wrong; it throws only what prevents the check itself.
    public func check(
        readData: ReadData, using generator: inout some RandomNumberGenerator
    ) throws -> CheckReport {
        if let fault = readData.fault {
            throw HoldfastError(.invalidInput, fault, hint: "Give a percentage up to 100, or a part such as 1 of 7")
        }
        let lock = try lockForReading()
        defer { lock?.release() }
        let run = CheckRun(self)
        try run.run(readData: readData, using: &generator)
        return run.report
    }

    /// As above; a percentage is chosen by the system's generator.
    public func check(readData: ReadData) throws -> CheckReport {
        var generator = SystemRandomNumberGenerator()
        return try check(readData: readData, using: &generator)
    }

    /// As above, with all packs read or none.
    public func check(readData: Bool) throws -> CheckReport { try check(readData: readData ? .all : .none) }
}

/// One check.
final class CheckRun: @unchecked Sendable {
    /// A repository without its index would name every file.
    private static let problemLimit = 1000

    private let repository: Repository
    private let condition = Condition()
    /// What the index files say of each pack; the table of the index keeps only one place per blob.
    private var packs: [ObjectID: [PackEntry]] = [:]
    private let siteProblems = SiteProblems()
    // Below: only inside `condition.locked` while workers run.
    private(set) var report = CheckReport()

    init(_ repository: Repository) { self.repository = repository }

    func run(readData: ReadData, using generator: inout some RandomNumberGenerator) throws {
        try readSmallObjects()
        let snapshots = try readSnapshots()
        let index = try readIndex()
        let sizes = try comparePacks()
        // In a fixed order, so that the generator alone decides.
        let present = packs.keys.filter { sizes[$0] != nil }.sorted { $0.description < $1.description }
        let chosen = readData.choose(from: present, using: &generator)
        try readPacks(index, chosen)
        if let sites {
            let expected = packs.mapValues { Self.size(of: $0) }
            try CheckSites(store: sites, key: repository.key, sizes: expected, found: siteProblems).run()
            report.siteProblems = siteProblems.sorted
        }
        try walkTrees(snapshots, index)
        report.problems.sort { ($0.object, $0.reason) < ($1.object, $1.reason) }
    }

    private func add(_ object: String, _ reason: String) {
        condition.locked {
            guard report.problems.count < Self.problemLimit else { return report.furtherProblems += 1 }
            report.problems.append(CheckProblem(object: object, reason: reason))
        }
    }

    /// Turns damage into a problem of the report; throws anything else.
    private func name(_ error: any Error, _ object: String) throws {
        guard let known = error as? HoldfastError, [.damaged, .notFound, .unsupported].contains(known.code) else {
            throw error
        }
        add(object, known.description)
    }

    /// Config, keys and locks.
    private func readSmallObjects() throws {
        do {
            let text = try repository.files.loadConfig()
            guard let text, try RepositoryConfig(decoding: text) == repository.config else {
                throw HoldfastError(.damaged, "it is not the config of this repository")
            }
        } catch { try name(error, "config") }
        for entry in try repository.store.list(.key) {
            do { try KeyFile.load(entry.name, from: repository.store).cost.validate() } catch {
                try name(error, "\(entry.name)")
            }
        }
        for entry in try repository.store.list(.lock) {
            guard let id = ObjectID(hex: entry.name.name) else { continue }
            do {
                _ = try LockFile(decoding: repository.files.load(.lock, id), id: id)
            } catch let error as HoldfastError where error.code == .notFound {
                continue  // Released meanwhile.
            } catch { try name(error, "\(entry.name)") }
        }
    }

    private func readSnapshots() throws -> [(SnapshotID, ObjectID)] {
        var trees: [(SnapshotID, ObjectID)] = []
        for entry in try repository.store.list(.snapshot) {
            guard let id = SnapshotID(entry.name.name) else { continue }
            report.snapshots += 1
            do { trees.append((id, try repository.snapshot(id).treeID)) } catch { try name(error, "\(entry.name)") }
        }
        return trees
    }

    private func readIndex() throws -> BlobIndex {
        let index = BlobIndex()
        for entry in try repository.store.list(.index) {
            guard let id = ObjectID(hex: entry.name.name) else { continue }
            do {
                let described = try IndexFile.decode(repository.files.load(.index, id), name: id)
                index.add(file: id, described)
                for pack in described {
                    let known = packs[pack.id] ?? []
                    packs[pack.id] = known.isEmpty ? pack.entries : Array(Set(known).union(pack.entries))
                }
            } catch { try name(error, "\(entry.name)") }
        }
        holdfast_trim_memory()
        report.blobs = index.blobCount
        return index
    }

    /// All sites, if there are several.
    private var sites: ReplicatedBlobStore? {
        (repository.store as? ReplicatedBlobStore).flatMap { $0.sites.count > 1 ? $0 : nil }
    }

    /// Bytes of a whole pack with these blobs.
    private static func size(of entries: [PackEntry]) -> Int {
        entries.reduce(PackHeader.sealedSize(entries)) { $0 + Int($1.length) }
    }

    /// Compares the index with the listing; the sizes of the packs that are there.
    private func comparePacks() throws -> [ObjectID: Int] {
        var sizes: [ObjectID: Int] = [:]
        for entry in try repository.store.list(.data) {
            guard let id = ObjectID(hex: entry.name.name) else { continue }
            sizes[id] = entry.size
            if packs[id] == nil { report.unusedPacks += 1 }
        }
        report.packs = sizes.count
        for (id, entries) in packs {
            let name = BlobName(kind: .data, name: id.description)
            let expected = Self.size(of: entries)
            guard let size = sizes[id] else {
                add("\(name)", "the pack is missing, and the index names \(entries.count) blobs in it")
                continue
            }
            // A listing of several sites says the largest size; that of the others is as good.
            if size == expected { continue }
            if let sites, sites.ownSites.contains(where: { (try? $0.store.size(name)) == expected }) { continue }
            add("\(name)", "the pack has \(size) bytes, and by the index it has \(expected)")
        }
        return sizes
    }

    // MARK: Trees

    private func walkTrees(_ snapshots: [(SnapshotID, ObjectID)], _ index: BlobIndex) throws {
        let reader = try repository.reader(index)
        var seen: Set<ObjectID> = []
        for (snapshot, tree) in snapshots {
            var open = [(tree: tree, path: "/")]
            while let (tree, path) = open.popLast() {
                guard seen.insert(tree).inserted else { continue }
                report.trees += 1
                let place = "snapshot \(snapshot) \(path)"
                do {
                    for node in try reader.tree(tree) {
                        check(node, in: place, index)
                        if let subtree = node.subtree { open.append((subtree, path + display(node.name) + "/")) }
                    }
                } catch { try name(error, place) }
            }
        }
    }

    private func check(_ node: Node, in place: String, _ index: BlobIndex) {
        if !isPlainName(node.name) { add(place, "'\(display(node.name))' cannot be a name") }
        if node.type == .directory && node.subtree == nil { add(place, "'\(display(node.name))' has no tree") }
        for id in node.content.ids where !index.contains(id, .data) {
            add(place + display(node.name), "its blob \(id) is not in the repository")
        }
    }

    // MARK: Data

    private func readPacks(_ index: BlobIndex, _ chosen: [ObjectID]) throws {
        try forEachInParallel(chosen, "holdfast-check") { [self] in
            let verifier = try PackVerifier(repository.reader(index))
            return { [self] id in
                let pack = BlobName(kind: .data, name: id.description)
                do { try verify(id, pack, verifier) } catch { try name(error, "\(pack)") }
            }
        }
    }

    /// A copy of a pack, and what was found in it.
    private struct PackCopy {
        let size: Int
        let state: PackState
    }

    /// Verifies a pack's hash, its header and each of its blobs.
    private func verify(_ id: ObjectID, _ name: BlobName, _ verifier: PackVerifier) throws {
        let entries = packs[id] ?? []
        let copy = try read(id, name, entries, verifier)
        let state = copy.state
        if state.damaged > 0 || !state.isIntact {
            let count = "\(state.damaged) of \(entries.count) blobs are damaged"
            add("\(name)", "the bytes are not what the name says; \(count)")
        }
        guard state.isIntact else { return }
        condition.locked {
            report.packsRead += 1
            report.bytesRead += Int64(copy.size)
        }
        guard let header = state.header else { return add("\(name)", "the pack's header is damaged") }
        if Set(header) != Set(entries) { add("\(name)", "the pack's header says other than the index") }
    }

    /// Reads every copy of a pack, each once, and names the sites whose copies are damaged.
    ///
    /// - Returns: the first intact one, or the first if none is.
    private func read(
        _ id: ObjectID, _ name: BlobName, _ entries: [PackEntry], _ verifier: PackVerifier
    ) throws -> PackCopy {
        func look(in store: any BlobStore, _ entries: [PackEntry]) throws -> PackCopy {
            let size = try store.size(name)
            let state = try verifier.look(at: id, size: size, entries: entries) { try store.get(name, range: $0) }
            return PackCopy(size: size, state: state)
        }
        guard let sites else { return try look(in: repository.store, entries) }
        var best: PackCopy?
        var failure = HoldfastError(.notFound, "\(name) is on no site")
        for site in sites.ownSites {
            do {
                // If there was an intact one, the blobs are what they are in that.
                let hasGood = best?.state.isIntact == true
                let copy = try look(in: site.store, hasGood ? [] : entries)
                if best == nil || copy.state.isIntact && !hasGood { best = copy }
                if !copy.state.isIntact { siteProblems.add(site, name, SiteProblems.wrongBytes) }
            } catch let error as HoldfastError {
                if failure.code == .notFound || failure.code == .damaged { failure = error }
                switch error.code {
                case .notFound: break  // The comparison of the listings says so.
                case .damaged: siteProblems.add(site, name, error.description)
                default: siteProblems.add(site, error)
                }
            }
        }
        guard let best else { throw failure }
        return best
    }
}
