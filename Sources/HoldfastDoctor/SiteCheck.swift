import Foundation
import HoldfastBackup
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository

/// The sites: whether they are there, hold what they should, and nobody left a lock behind.
package struct SiteCheck: Sendable {
    let facts: InstallationFacts

    package init(_ facts: InstallationFacts) { self.facts = facts }

    package func findings() -> [Finding] {
        var found: [Finding] = []
        var there: [SiteConfiguration] = []
        for site in facts.repositories.sites {
            if FileManager.default.fileExists(atPath: site.path) {
                there.append(site)
            } else {
                found.append(
                    .wrong(
                        "sites", "site \(site.name) is away: there is no \(site.path)",
                        "Mount it; the next backup brings it up to date"))
            }
        }
        for project in facts.projects {
            do {
                let password = try facts.repositories.password(of: project.id)
                found += try findings(of: project, password, on: there)
            } catch {
                found.append(
                    .wrong("keys", error, "Put back the master key that was there when the project was made"))
            }
        }
        let count = facts.repositories.sites.count
        if count == 1 {
            found.append(.note("sites", "there is one site, so nothing is replicated", "Add one to settings.json"))
        }
        return found.orGood("sites", "all \(count) sites hold all backups")
    }

    private func findings(
        of project: Project, _ password: Secret, on sites: [SiteConfiguration]
    ) throws -> [Finding] {
        let backups = try facts.catalogue.backups(in: project.id).filter { $0.status == .created }
        var (found, ids): ([Finding], [String: String]) = ([], [:])
        for site in sites {
            let store = FileBlobStore(root: facts.repositories.path(of: project.id, on: site))
            let what = "site \(site.name), project \(project.title)"
            do {
                let repository = try Repository.open(store: store, password: password, time: facts.time)
                ids[site.name] = repository.id
                found += try behind(what, site, store, backups)
                found += try locks(what, repository, store)
            } catch let error as HoldfastError where error.code == .notFound {
                found.append(
                    .wrong(
                        "sites", "\(what): there is no repository",
                        "Back up an environment of the project, which makes it anew, or mount the right disk"))
            } catch let error as HoldfastError where error.code == .wrongPassword {
                found.append(
                    .wrong(
                        "sites", "\(what): it holds another repository",
                        "Take the site out of settings.json, or move that repository away"))
            } catch {
                found.append(.wrong("sites", error, "Run holdfast repository check on \(site.path)"))
            }
        }
        if Set(ids.values).count > 1 {
            let list = ids.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value.prefix(8))" }
            found.append(
                .wrong(
                    "sites", "project \(project.title) has different repositories: \(list.joined(separator: ", "))",
                    "Take the wrong site out of settings.json"))
        }
        return found
    }

    /// Backups that the site should have and has not.
    private func behind(
        _ what: String, _ site: SiteConfiguration, _ store: FileBlobStore, _ backups: [Backup]
    ) throws -> [Finding] {
        let there = Set(try store.list(.snapshot).map(\.name.name))
        let lost = backups.filter { backup in
            backup.sites.contains { $0.site == site.name && $0.isComplete } && !there.contains(backup.snapshot)
        }
        let incomplete = backups.filter { backup in
            backup.sites.contains { $0.site == site.name && !$0.isComplete }
        }
        var found: [Finding] = []
        if !lost.isEmpty {
            found.append(
                .wrong(
                    "sites", "\(what): \(lost.count) backups are gone that were stored there",
                    "Run holdfast repository check on \(site.path); the next backup copies them back from another site")
            )
        }
        if !incomplete.isEmpty {
            found.append(
                .wrong(
                    "sites", "\(what): it is behind by \(incomplete.count) backups",
                    "Back up again, which brings the site up to date; look at its disk if it stays behind"))
        }
        return found
    }

    private func locks(_ what: String, _ repository: Repository, _ store: FileBlobStore) throws -> [Finding] {
        let stale = try repository.staleLocks()
        guard !stale.isEmpty else { return [] }
        return [
            .wrong(
                "locks", "\(what): \(stale.count) locks of processes that are gone",
                "Run holdfast repository unlock there; they keep prunes waiting")
        ]
    }
}
