import Foundation
import HoldfastEnvironments
import HoldfastModel
import HoldfastRepository

/// Puts a backup back: data aside, checked, then switched in behind the closed gate by one rename.
///
/// Until the rename the old state is live, after it the new one; the old data stays for the undo. A crash leaves one
/// of the two, never a mix: `current.json` alone says what is live.
struct RestoreActivity {
    let backup: Backup
    let environment: Environment
    let restoreCode: Bool
    let house: House
    let context: ActivityContext

    func run() throws {
        let started = house.time.monotonicNanoseconds()
        let layout = house.layout(environment.id)
        let source = RestoreSource(backup: backup, environment: environment, house: house)
        let (repository, snapshot, manifest, old) = try source.open()
        let plan = try RestorePlan(manifest: manifest, current: old, restoreCode: restoreCode, house: house)
        for line in plan.lines { context.log(line) }

        var aside = RestoreAside(
            plan: plan, layout: layout, environment: environment, house: house, context: context)
        do {
            try aside.fill(from: repository, snapshot: snapshot)
            try aside.startServices()
        } catch {
            aside.discard()
            throw error
        }
        context.progress(80)
        house.reached(.restoreFilled)
        try switchOver(from: old, to: aside.newState(after: old, by: context.activity.id), aside, layout)
        let seconds = Double(house.time.monotonicNanoseconds() - started) / 1e9
        context.log(String(format: "Restored backup %@ in %.1f s.", backup.id.rawValue, seconds))
        context.log("The state before is kept; put it back with: backup:restore --undo")
    }

    /// The switch, behind the closed gate. If the new state does not come up, the old one is put back.
    private func switchOver(
        from old: CurrentState, to new: CurrentState, _ aside: RestoreAside, _ layout: EnvironmentLayout
    ) throws {
        let switcher = StateSwitch(environment: environment, layout: layout, house: house, context: context)
        do {
            let evidence = try switcher.perform(from: old, to: new, keepPrevious: true)
            context.log("Switched, " + evidence.summaryOfRequests)
        } catch {
            aside.discard()
            throw error
        }
    }
}

extension HoldEvidence {
    var summaryOfRequests: String {
        "held \(Int(heldForMilliseconds.rounded())) ms (\(requestsHeld) requests, longest "
            + "\(Int(longestRequestMilliseconds.rounded())) ms, \(requestsRefused) refused)"
    }
}
