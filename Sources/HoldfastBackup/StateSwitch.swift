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
    func perform(from old: CurrentState, to new: CurrentState, keepPrevious: Bool) throws -> HoldEvidence {
        let stale = try layout.readPrevious()
        let leaving = leaving(old, new, stale: stale, keepPrevious: keepPrevious)
        // Before the switch: else a crash after it would leave them behind for ever.
        try layout.note(aside: leaving)
        let hooks = old.deployment.id != new.deployment.id && new.deployment.restoredFrom == nil
        let beside = try SwitchAside(environment: environment, layout: layout, house: house, context: context)
            .start(new, beside: old, runsHooks: hooks)
        let coordinator = HoldCoordinator(
            gate: house.gate, freezer: house.freezer, time: house.time, log: { [context] in context.log($0) })
        var evidence: HoldEvidence?
        var isSwitched = false
        do {
            evidence = try coordinator.holdRequests(environment.id, limits: house.switchLimits) { closedAt in
                house.reached(.switchHeld)
                do {
                    if keepPrevious { try layout.writePrevious(old) }
                    try layout.writeCurrent(new)
                    house.reached(.switchWritten)
                    // From here on the gateway leads to the new apps: should this process die, nothing is lost with it.
                    if let beside { try house.supervisors.publishRoutes(beside: [environment.id: beside]) }
                    try follow(deployHooks: hooks, ready: left(since: closedAt))
                    try house.supervisors.publishRoutes()
                } catch {
                    try putBack(old, stale: stale, keepPrevious: keepPrevious, because: error)
                }
                isSwitched = true
                house.reached(.switchApplied)
            }
        } catch {
            guard isSwitched else {
                layout.forget(aside: leaving)
                if environment.status == .active { try? house.supervisors.client(environment.id).dropAside() }
                throw error
            }
            context.log("Warning: the switch is done, but the end of its hold is not known: \(error)")
        }
        try? house.supervisors.client(environment.id).waitForRetired(house.time)
        layout.discardAside()
        return evidence ?? HoldEvidence(epoch: 0, closedAt: house.time.now())
    }

    /// How long what is started behind the gate may take.
    private func left(since closedAt: UInt64) -> Duration {
        let passed = Duration.nanoseconds(Int64(house.time.monotonicNanoseconds() - closedAt))
        return max(house.switchReady - passed, .seconds(5))
    }

    /// Directories that neither the new state nor an undo will need: they go when the gate is open again.
    private func leaving(
        _ old: CurrentState, _ new: CurrentState, stale: CurrentState?, keepPrevious: Bool
    ) -> [String] {
        // A deployment keeps services and mounts; only the code of the last one goes.
        let candidates = keepPrevious ? stale?.directories ?? [] : Array(old.apps.values)
        let needed = Set(new.directories + ((keepPrevious ? old : stale)?.directories ?? []))
        return candidates.filter { !needed.contains($0) }
    }

    /// Always throws: the reason why the new state is not the current one.
    ///
    /// `current.json` comes first. As long as it may name the new state, `previous.json` alone names the old data, and
    /// is left as it is; after that, an undo leads again to what it led to before this switch.
    private func putBack(
        _ old: CurrentState, stale: CurrentState?, keepPrevious: Bool, because error: any Error
    ) throws {
        defer {
            if keepPrevious, !mayBeSwitched { try? keepForUndo(stale) }
        }
        // Nothing was replaced, and no process was told to follow.
        guard mayBeSwitched else { throw error }
        do {
            var back = old
            back.generation = old.generation + 2
            try layout.writeCurrent(back)
            try follow(deployHooks: false)
            try house.supervisors.publishRoutes()
        } catch let second {
            // Whatever runs now: requests must not be led to what was beside it, and is stopped.
            try? house.supervisors.publishRoutes()
            throw HoldfastError(
                .internalFault, "the new state did not start (\(error)), and neither did the old one: \(second)",
                hint: "Look at the environment's logs and run environment:redeploy")
        }
        throw HoldfastError(
            .unavailable, "the new state did not start, so the old one was put back", cause: error)
    }

    /// Whether `current.json` names the new state, as far as that can be told.
    private var mayBeSwitched: Bool {
        do { return try layout.readCurrent()?.switchedBy == context.activity.id } catch { return true }
    }

    /// What an undo leads back to is again what it was before this switch.
    private func keepForUndo(_ stale: CurrentState?) throws {
        if let stale { try layout.writePrevious(stale) } else { try layout.removePrevious() }
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

extension SupervisorClient {
    /// Old apps may need their code until they have ended; only the activity that replaced them waits for that.
    func waitForRetired(_ time: any TimeSource) {
        let started = time.monotonicNanoseconds()
        while time.monotonicNanoseconds() - started < 45_000_000_000 {
            guard let status = try? status(),
                status.processes.contains(where: { $0.phase == .stopping && $0.kind != .service })
            else { return }
            usleep(20_000)
        }
    }
}
