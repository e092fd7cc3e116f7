import Foundation
import HoldfastEnvironments
import HoldfastModel

/// Makes another state the current one, behind the closed gate: rename `current.json`, let the supervisor follow.
///
/// If the new state does not come up, the old one is put back before the gate opens.
struct StateSwitch {
    let environment: Environment
    let layout: EnvironmentLayout
    let house: House
    let context: ActivityContext

    /// The first deployment: nobody waits yet, so there is nothing to hold.
    func performFirst(_ new: CurrentState) throws {
        try layout.writeCurrent(new)
        do {
            try follow(deployHooks: true)
        } catch {
            // Nothing ran before: what did not start is stopped, and nothing is current again.
            try? house.supervisors.stop(environment.id)
            unlink(layout.currentFile)
            throw error
        }
        try house.supervisors.publishRoutes()
    }

    /// - Parameter keepPrevious: whether the old state is kept for an undo.
    @discardableResult
    func perform(from old: CurrentState?, to new: CurrentState, keepPrevious: Bool) throws -> HoldEvidence {
        let hooks = old?.deployment.id != new.deployment.id && new.deployment.restoredFrom == nil
        let coordinator = HoldCoordinator(gate: house.gate, freezer: house.freezer, time: house.time)
        var evidence: HoldEvidence?
        evidence = try coordinator.holdRequests(environment.id, limits: house.switchLimits) {
            house.reached(.switchHeld)
            if keepPrevious, let old { try layout.writePrevious(old) }
            try layout.writeCurrent(new)
            house.reached(.switchWritten)
            do {
                try follow(deployHooks: hooks)
                house.reached(.switchApplied)
            } catch {
                try putBack(old, because: error)
            }
        }
        try house.supervisors.publishRoutes()
        return evidence ?? HoldEvidence(epoch: 0, closedAt: house.time.now())
    }

    /// Always throws: the reason why the new state is not the current one.
    private func putBack(_ old: CurrentState?, because error: any Error) throws {
        guard let old else { throw error }
        var back = old
        back.generation = old.generation + 2
        try layout.writeCurrent(back)
        do {
            try follow(deployHooks: false)
        } catch let second {
            throw HoldfastError(
                .internalFault, "the new state did not start (\(error)), and neither did the old one: \(second)",
                hint: "Look at the environment's logs and run environment:redeploy")
        }
        throw HoldfastError(
            .unavailable, "the new state did not start, so the old one was put back", cause: error)
    }

    /// Lets the supervisor make what `current.json` says true.
    private func follow(deployHooks: Bool) throws {
        let client = try house.supervisors.client(environment.id)
        for line in try client.apply(ApplyOptions(deployHooks: deployHooks)) { context.log(line) }
    }
}
