import HoldfastBlobStore
import HoldfastModel

/// Compares the sites of a repository: the check itself is content with one good copy.
///
/// All but packs is read on each site here; the copies of packs are read by the check, once each.
struct CheckSites: Sendable {
    let store: ReplicatedBlobStore
    let key: MasterKey
    /// Of each pack that the index names, in bytes.
    let sizes: [ObjectID: Int]
    /// Takes what single sites lack or have damaged.
    let found: SiteProblems

    func run() throws {
        for (number, site) in store.sites.enumerated() {
            if let error = store.strangeness(of: number) { found.add(site, error) }
        }
        for kind in BlobKind.allCases where kind != .lock {
            let names = try store.list(kind).map(\.name)
            for site in store.ownSites {
                do { try compare(site, kind, names) } catch let error as HoldfastError { found.add(site, error) }
            }
        }
    }

    private func compare(_ site: Site, _ kind: BlobKind, _ names: [BlobName]) throws {
        let entries = try site.store.list(kind)
        let present = Set(entries.map(\.name))
        for entry in entries where kind == .data {
            guard let id = ObjectID(hex: entry.name.name), let size = sizes[id], size != entry.size else { continue }
            found.add(site, entry.name, "it has \(entry.size) bytes there, and by the index it has \(size)")
        }
        for name in names where !present.contains(name) { found.add(site, name, "it is missing there") }
        if kind == .data { return }
        try forEachInParallel(names.filter { present.contains($0) }, "holdfast-sites") {
            let digest = try DigestContext()
            return { name in
                do {
                    let bytes = try site.store.get(name)
                    if try !isGood(name, bytes, digest) { found.add(site, name, SiteProblems.wrongBytes) }
                } catch let error as HoldfastError where error.code == .damaged || error.code == .notFound {
                    found.add(site, name, error.description)
                }
            }
        }
    }

    private func isGood(_ name: BlobName, _ bytes: [UInt8], _ digest: DigestContext) throws -> Bool {
        if name.kind == .config { return RepositoryConfig.opened(bytes, try SealingContext(key)) != nil }
        return try bytes.withUnsafeBytes { try digest.digest($0) } == ObjectID(hex: name.name)
    }
}

/// What single sites lack or have damaged; from several threads.
final class SiteProblems: @unchecked Sendable {
    static let wrongBytes = "the bytes are not what the name says"

    private let condition = Condition()
    private var problems: Set<CheckProblem> = []

    func add(_ site: Site, _ name: BlobName, _ reason: String) {
        let problem = CheckProblem(object: "site '\(site.name)': \(name)", reason: reason)
        condition.locked { _ = problems.insert(problem) }
    }

    /// Something that concerns all of a site.
    func add(_ site: Site, _ error: HoldfastError) {
        let problem = CheckProblem(object: "site '\(site.name)'", reason: error.description)
        condition.locked { _ = problems.insert(problem) }
    }

    /// By site and object.
    var sorted: [CheckProblem] {
        condition.locked { problems }.sorted { ($0.object, $0.reason) < ($1.object, $1.reason) }
    }
}
