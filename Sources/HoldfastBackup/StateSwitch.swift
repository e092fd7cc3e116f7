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
        var new = new
        new.before = []
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

    /// One rename makes the new state current and keeps what was before, so a crash can lose neither; only once the
    /// switch is done do the older states go, and what they named.
    ///
    /// - Parameter keepPrevious: whether the old state is kept for an undo.
    /// - Throws: why the old state stays. Once the switch is done, nothing is thrown any more.
    @discardableResult
    func perform(from old: CurrentState, to new: CurrentState, keepPrevious: Bool) throws -> HoldEvidence {
        let earlier = try layout.readBefore()
        let new = following(old, new, earlier, keepPrevious: keepPrevious)
        let leaving = keepPrevious ? [] : leaving(old, new)
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
                    try layout.writeCurrent(new)
                    house.reached(.switchWritten)
                    // From here on the gateway leads to the new apps: should this process die, nothing is lost with it.
                    if let beside { try house.supervisors.publishRoutes(beside: [environment.id: beside]) }
                    try follow(deployHooks: hooks, ready: left(since: closedAt))
                    try house.supervisors.publishRoutes()
                } catch {
                    try putBack(old, earlier, because: error)
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
        do {
            try layout.settleBefore()
            layout.discardAside()
        } catch {
            // It stays on record: the next start looks at it again.
            context.log("Warning: what is not needed any more could not be removed: \(error)")
        }
        return evidence ?? HoldEvidence(epoch: 0, closedAt: house.time.now())
    }

    /// How long what is started behind the gate may take.
    private func left(since closedAt: UInt64) -> Duration {
        let passed = Duration.nanoseconds(Int64(house.time.monotonicNanoseconds() - closedAt))
        return max(house.switchReady - passed, .seconds(5))
    }

    /// The new state with the states before it. An undo takes the place of the state that it leads to.
    private func following(
        _ old: CurrentState, _ new: CurrentState, _ earlier: [CurrentState], keepPrevious: Bool
    ) -> CurrentState {
        var new = new
        new.before = keepPrevious ? [old] + earlier.filter { !$0.isSame(as: new) } : earlier
        return new
    }

    /// The code of the last deployment, unless an undo needs it: it goes when the gate is open again. Services and
    /// mounts are kept by a deployment.
    private func leaving(_ old: CurrentState, _ new: CurrentState) -> [String] {
        let needed = Set(([new] + (new.before ?? [])).flatMap(\.directories))
        return old.apps.values.filter { !needed.contains($0) }
    }

    /// Always throws: the reason why the new state is not the current one. After that, an undo leads again to what it
    /// led to before this switch.
    private func putBack(_ old: CurrentState, _ earlier: [CurrentState], because error: any Error) throws {
        // Nothing was replaced, and no process was told to follow.
        guard mayBeSwitched else { throw error }
        do {
            var back = old
            back.generation = old.generation + 2
            back.before = earlier
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
        back.before = isUndo ? [new] : try Array(layout.readBefore().dropFirst())
        try layout.writeCurrent(back)
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

extension CurrentState {
    /// Whether it is the same deployment on the same data.
    fileprivate func isSame(as other: CurrentState) -> Bool {
        deployment.id == other.deployment.id && apps == other.apps && services == other.services
            && mounts == other.mounts
    }
}
