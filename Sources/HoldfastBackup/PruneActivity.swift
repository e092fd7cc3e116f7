import Foundation
import HoldfastModel
import HoldfastRepository

/// Frees what no backup of a project needs any more. The catalogue lets nothing else use the repository meanwhile; for
/// a restore it stops, and begins anew when that is done.
struct PruneActivity {
    let house: House
    let context: ActivityContext

    func run() throws {
        try house.checkMayDelete()
        let project = context.activity.project
        let sites = try house.repositories.sites(of: project)
        let repository = try house.repositories.open(project, on: sites)
        try healSites(of: repository)
        let plan = try repository.planPrune()
        guard !plan.isEmpty else { return context.log("There is nothing to free.") }
        context.log(
            "Removes \(plan.packsRemoved + plan.packsUnreferenced) packs, rewrites \(plan.packsRepacked) and keeps "
                + "\(plan.packsKept).")
        context.progress(20)
        try giveWay()
        let report = try plan.execute { try giveWay() }
        context.log("Freed \(ByteCount(Int64(max(0, report.bytesFreed)))) on each site.")
        for site in sites.report() where !site.isComplete {
            context.log(
                "Site \(site.site) could not be reached, and frees it when it is healed: \(site.problem ?? "unknown")")
        }
    }

    /// Takes from sites that were away what was removed meanwhile, once they have all that they missed: a backup gives
    /// them that, and here it could keep a restore waiting for long.
    private func healSites(of repository: Repository) throws {
        do {
            let standings = try repository.catchUpSites(limit: 0, comparesPacks: true, isWanted: { _ in true })
            guard !standings.isEmpty, standings.allSatisfy(\.isWhole) else { return }
            if let removed = try repository.healSites(.none)?.removed, removed > 0 {
                context.log("Removed \(removed) old objects from sites that had been away.")
            }
        } catch let error as HoldfastError where [.conflict, .unavailable].contains(error.code) {
            context.log("What sites missed while they were away stays there: \(error)")
        }
    }

    /// - Throws: `GivesWay` if a restore of the project waits.
    private func giveWay() throws {
        let waiting = try house.catalogue.openActivities().first { other in
            other.state == .pending && other.type == .restore && other.project == context.activity.project
        }
        if let waiting { throw GivesWay(reason: "Stopped for restore \(waiting.id), and begins again after it.") }
    }
}
