import HoldfastBlobStore
import HoldfastModel

/// Compares the copies of a repository that lies on several sites: the check itself is content with one good copy.
struct CheckSites: Sendable {
    let store: ReplicatedBlobStore
    let key: MasterKey
    /// Packs of which every copy is read.
    let packs: Set<ObjectID>
    /// Of each pack that the index names, in bytes.
    let sizes: [ObjectID: Int]

    /// What single sites lack or have damaged, sorted by site and object.
    func problems() throws -> [CheckProblem] {
        var problems: [CheckProblem] = []
        for kind in BlobKind.allCases where kind != .lock {
            let names = try store.list(kind).map(\.name)
            for site in store.sites {
                do { problems += try self.problems(of: site, kind, names) } catch let error as HoldfastError {
                    problems.append(CheckProblem(object: "site '\(site.name)'", reason: error.description))
                }
            }
        }
        return Set(problems).sorted { ($0.object, $0.reason) < ($1.object, $1.reason) }
    }

    private func problems(of site: Site, _ kind: BlobKind, _ names: [BlobName]) throws -> [CheckProblem] {
        let entries = try site.store.list(kind)
        let present = Set(entries.map(\.name))
        let found = FoundProblems()
        for entry in entries where kind == .data {
            guard let id = ObjectID(hex: entry.name.name), let size = sizes[id], size != entry.size else { continue }
            found.add(site, entry.name, "it has \(entry.size) bytes there, and by the index it has \(size)")
        }
        for name in names where !present.contains(name) { found.add(site, name, "it is missing there") }
        let read = names.filter { name in
            guard present.contains(name) else { return false }
            guard kind == .data else { return true }
            return ObjectID(hex: name.name).map { packs.contains($0) } ?? false
        }
        try forEachInParallel(read, "holdfast-sites") {
            let digest = try DigestContext()
            return { name in
                do {
                    let bytes = try site.store.get(name)
                    if try !isGood(name, bytes, digest) {
                        found.add(site, name, "the bytes are not what the name says")
                    }
                } catch let error as HoldfastError where error.code == .damaged || error.code == .notFound {
                    found.add(site, name, error.description)
                }
            }
        }
        return found.all
    }

    private func isGood(_ name: BlobName, _ bytes: [UInt8], _ digest: DigestContext) throws -> Bool {
        if name.kind == .config { return RepositoryConfig.opened(bytes, try SealingContext(key)) != nil }
        return try bytes.withUnsafeBytes { try digest.digest($0) } == ObjectID(hex: name.name)
    }
}

/// Problems from several threads.
private final class FoundProblems: @unchecked Sendable {
    private let condition = Condition()
    private var problems: [CheckProblem] = []

    func add(_ site: Site, _ name: BlobName, _ reason: String) {
        condition.locked { problems.append(CheckProblem(object: "site '\(site.name)': \(name)", reason: reason)) }
    }

    var all: [CheckProblem] { condition.locked { problems } }
}
