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
        layout.settleAside()
        try house.supervisors.publishRoutes()
    }

    /// - Parameter keepPrevious: whether the old state is kept for an undo.
    /// - Throws: why the old state stays. Once the switch is done, nothing is thrown any more.
    @discardableResult
    func perform(from old: CurrentState?, to new: CurrentState, keepPrevious: Bool) throws -> HoldEvidence {
        let stale = try layout.readPrevious()
        let hooks = old?.deployment.id != new.deployment.id && new.deployment.restoredFrom == nil
        let beside = try SwitchAside(environment: environment, layout: layout, house: house, context: context)
            .start(new, beside: old, runsHooks: hooks)
        let coordinator = HoldCoordinator(
            gate: house.gate, freezer: house.freezer, time: house.time, log: { [context] in context.log($0) })
        var evidence: HoldEvidence?
        var isSwitched = false
        do {
            evidence = try coordinator.holdRequests(environment.id, limits: house.switchLimits) { closedAt in
                house.reached(.switchHeld)
                if keepPrevious, let old { try layout.writePrevious(old) }
                try layout.writeCurrent(new)
                house.reached(.switchWritten)
                do {
                    // From here on the gateway leads to the new apps: should this process die, nothing is lost with it.
                    if let beside { try house.supervisors.publishRoutes(beside: [environment.id: beside]) }
                    try follow(deployHooks: hooks, ready: left(since: closedAt))
                    try house.supervisors.publishRoutes()
                } catch {
                    if keepPrevious { try keepForUndo(stale) }
                    try putBack(old, because: error)
                }
                isSwitched = true
                house.reached(.switchApplied)
            }
        } catch {
            guard isSwitched else {
                if environment.status == .active { try? house.supervisors.client(environment.id).dropAside() }
                throw error
            }
            context.log("Warning: the switch is done, but the end of its hold is not known: \(error)")
        }
        layout.settleAside()
        waitForRetired()
        removeStale(stale, old: old, new: new, keepPrevious: keepPrevious)
        return evidence ?? HoldEvidence(epoch: 0, closedAt: house.time.now())
    }

    /// How long what is started behind the gate may take.
    private func left(since closedAt: UInt64) -> Duration {
        let passed = Duration.nanoseconds(Int64(house.time.monotonicNanoseconds() - closedAt))
        return max(house.switchReady - passed, .seconds(5))
    }

    /// Old apps may need their code until they have ended; nobody waits for them but this activity.
    private func waitForRetired() {
        let started = house.time.monotonicNanoseconds()
        while house.time.monotonicNanoseconds() - started < 45_000_000_000 {
            guard let status = try? house.supervisors.client(environment.id).status(),
                status.processes.contains(where: { $0.phase == .stopping && $0.kind != .service })
            else { return }
            usleep(20_000)
        }
    }

    /// After the gate has opened: what neither the new state nor an undo needs any more goes.
    private func removeStale(_ stale: CurrentState?, old: CurrentState?, new: CurrentState, keepPrevious: Bool) {
        if keepPrevious, let old {
            if let stale { Self.removeDirectories(of: stale, except: [old, new], layout: layout) }
        } else if let old {
            // A deployment keeps services and mounts; only the code of the last one goes.
            var code = old
            code.services = [:]
            code.mounts = [:]
            Self.removeDirectories(of: code, except: [new] + (stale.map { [$0] } ?? []), layout: layout)
        }
    }

    /// What an undo leads back to is again what it was before this switch.
    private func keepForUndo(_ stale: CurrentState?) throws {
        if let stale { try layout.writePrevious(stale) } else { try layout.removePrevious() }
    }

    /// Always throws: the reason why the new state is not the current one.
    private func putBack(_ old: CurrentState?, because error: any Error) throws {
        guard let old else { throw error }
        var back = old
        back.generation = old.generation + 2
        try layout.writeCurrent(back)
        do {
            try follow(deployHooks: false)
            try house.supervisors.publishRoutes()
        } catch let second {
            throw HoldfastError(
                .internalFault, "the new state did not start (\(error)), and neither did the old one: \(second)",
                hint: "Look at the environment's logs and run environment:redeploy")
        }
        throw HoldfastError(
            .unavailable, "the new state did not start, so the old one was put back", cause: error)
    }

    /// Lets the supervisor make what `current.json` says true.
    ///
    /// - Parameter ready: how long each thing may take to come up; nil: as long as it usually may.
    private func follow(deployHooks: Bool, ready: Duration? = nil) throws {
        let client = try house.supervisors.client(environment.id)
        for line in try client.apply(ApplyOptions(deployHooks: deployHooks, ready: ready)) { context.log(line) }
    }

    /// Makes the state before an interrupted switch current again, and drops what a restore would have brought; what
    /// an undo would have brought back is kept for another one.
    static func rollBack(
        to old: CurrentState, from new: CurrentState, layout: EnvironmentLayout, client: SupervisorClient, isUndo: Bool
    ) throws {
        var back = old
        back.generation = new.generation + 1
        try layout.writeCurrent(back)
        if isUndo { try layout.writePrevious(new) } else { try layout.removePrevious() }
        try client.apply(ApplyOptions(deployHooks: false))
        if !isUndo { removeDirectories(of: new, except: [back], layout: layout) }
    }

    /// Deletes what only `state` names, and neither one of `kept` nor what the environment's files say.
    static func removeDirectories(of state: CurrentState, except kept: [CurrentState], layout: EnvironmentLayout) {
        let needed = Set(kept.flatMap(\.directories))
        try? layout.removeUnnamed(state.directories.filter { !needed.contains($0) })
    }
}
