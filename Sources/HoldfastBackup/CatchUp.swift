import Foundation
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository

/// Before a backup: brings sites that were away up to date, and says so of the older backups that they hold now.
///
/// A backup does not fail because of it: what is missing afterwards makes it degraded, as it would have been.
struct CatchUp {
    let project: ProjectID
    let house: House
    let context: ActivityContext

    /// How much one backup copies; the next one goes on.
    static let byteLimit: Int64 = 4 << 30
    private static let logEvery: Int64 = 512 << 20

    func run(_ repository: Repository) {
        do {
            let backups = try house.catalogue.backups(in: project).filter { $0.status == .created }
            // What is being deleted, or is not known, is not brought back by a site that did not hear of it.
            let wanted = Set(backups.map(\.snapshot))
            var told: [String: Int64] = [:]
            let reports = try repository.catchUpSites(
                limit: Self.byteLimit, comparesPacks: backups.contains(where: \.isDegraded),
                isWanted: { $0.kind != .snapshot || wanted.contains($0.name) },
                copied: { site in
                    guard site.bytes - told[site.site, default: 0] >= Self.logEvery else { return }
                    told[site.site] = site.bytes
                    context.log("Bringing \(site.site) up to date: \(ByteCount(site.bytes)) so far")
                })
            for report in reports { tell(report) }
            try markComplete(backups, reports)
        } catch {
            context.log("The sites were not brought up to date: \(error)")
        }
    }

    private func tell(_ report: SiteCatchUp) {
        if report.copied > 0 {
            context.log("Brought \(report.site) up to date: \(report.copied) objects, \(ByteCount(report.bytes))")
        }
        if !report.isReachable {
            context.log(
                "Site \(report.site) cannot be reached: \(report.problem ?? "no reason given"). "
                    + "The first backup after its return brings it up to date.")
        } else if report.missing > 0 {
            context.log(
                "Site \(report.site) still lacks \(report.missing) objects"
                    + (report.problem.map { ": \($0)" } ?? "") + ". The next backup goes on with them.")
        } else if let problem = report.problem {
            context.log("Site \(report.site) was not brought up to date: \(problem)")
        }
    }

    /// A backup is complete on a site that holds its snapshot and lacks nothing that another site has.
    private func markComplete(_ backups: [Backup], _ reports: [SiteCatchUp]) throws {
        let whole = Dictionary(reports.filter(\.isWhole).map { ($0.site, $0.snapshots) }) { first, _ in first }
        for backup in backups {
            var isChanged = false
            let sites = backup.sites.map { placement in
                guard !placement.isComplete, whole[placement.site]?.contains(backup.snapshot) == true else {
                    return placement
                }
                isChanged = true
                return SitePlacement(
                    site: placement.site, isComplete: true, isNotSeparate: placement.isNotSeparate)
            }
            guard isChanged else { continue }
            try house.catalogue.updateSites(of: backup.id, to: sites, at: house.time.now())
            let names = sites.filter(\.isComplete).map(\.site).joined(separator: ", ")
            context.log("Backup \(backup.id) is complete on \(names) now.")
        }
    }
}
