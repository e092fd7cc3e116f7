import Foundation
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel
import HoldfastRetention

/// `…/environments/{e}/retention`: what is due, what stays and why. Our addition.
enum RetentionRoutes {
    static func add(to routes: Routes) {
        let one = "/projects/:project/environments/:environment/retention"
        routes.on(.get, one) { call in
            let environment = try call.environment()
            let retention = try call.catalogue.retention(of: environment, at: call.parts.time.now())
            return try .json(call.view(of: retention))
        }
        routes.on(.post, "\(one)/preview", preview)
    }

    /// What a change of the policy would do. Nothing is changed.
    private static func preview(_ call: Call) throws -> Reply {
        let input = try call.input.decode(API.RetentionPreviewInput.self)
        let environment = try call.environment()
        let now = call.parts.time.now()
        // Null is a change as well: back to the default.
        let change = try call.input.decode(JSONValue.self)["data_retention"]
        let retention = try call.catalogue.retention(of: environment, at: now) { project, _ in
            guard let change else { return }
            project.retention = try RetentionInput(change).merged(into: project.retention, at: now)
        }
        var view = try call.view(of: retention)
        if let days = input.days {
            // It takes a while, for which others wait.
            try call.principal.require(.contributor, on: environment)
            var faults = InputFaults()
            if !(1...36_525).contains(days) {
                faults.add("days", "is \(days), should be a whole number from 1 to 36525")
            }
            try faults.check()
            view.simulation = try simulation(of: retention, days: days, at: now)
        }
        return try .json(view)
    }

    private static func simulation(
        of retention: EnvironmentRetention, days: Int, at now: Date
    ) throws -> API.Retention.Simulation {
        let start = now.wholeSeconds
        let simulation = try RetentionSimulation(
            retention.policy, existing: retention.backups, from: start, to: start + days * 86_400, in: retention.zone,
            due: retention.due)
        return API.Retention.Simulation(
            days: days, backups: simulation.steps.count, largest: simulation.largest, left: simulation.entries.count,
            entries: simulation.entries.map { entry in
                API.Retention.SimulatedBackup(
                    createdAt: entry.id.rawValue.hasPrefix("simulated-")
                        ? Date(timeIntervalSince1970: Double(entry.createdAt)) : nil,
                    kept: entry.reasons.map(\.description))
            })
    }
}

extension Call {
    /// What retention says of an environment, for people and programs.
    func view(of retention: EnvironmentRetention) throws -> API.Retention {
        try parts.view(of: retention, at: parts.time.now())
    }
}

extension ServerParts {
    /// The same, whoever asks.
    func view(of retention: EnvironmentRetention, at now: Date) throws -> API.Retention {
        let (plan, state) = (retention.plan(), retention.state(at: now))
        let automated = Set(retention.backups.filter(\.isAutomated).map(\.id))
        func item(_ id: BackupID) -> API.Retention.Item {
            API.Retention.Item(id: id, createdAt: retention.createdAt[id], automated: automated.contains(id))
        }
        var view = API.Retention(
            environment: retention.environment.name, timezone: retention.zone.identifier,
            links: [
                "self": "\(Path.environment(retention.environment.name, in: retention.environment.project))/retention"
            ])
        view.maxBackups = retention.policy.maxBackups
        view.manualCount = retention.policy.manualCount
        view.schedule = retention.policy.schedules.map { schedule in
            API.Retention.Schedule(
                interval: schedule.interval.description, count: schedule.count, safe: schedule.safe,
                missed: state.missed[schedule.interval] ?? 0)
        }
        let runs = retention.environment.status == .active
        view.nextDueAt = runs ? state.next.map { Date(timeIntervalSince1970: Double($0)) } : nil
        view.overdueSeconds = runs ? state.overdueSeconds : 0
        view.due = runs ? state.due.map { $0.interval.description } : []
        view.lastDrillAt = try catalogue.lastDrill(of: retention.environment.id)
        (view.attempts, view.failures) = try catalogue.backupAttempts(of: retention.environment.id)
        view.kept = plan.kept.map { kept in
            var item = item(kept.id)
            item.reasons = kept.reasons.map(\.description)
            item.expiresAt = retention.expiry(of: kept.reasons, at: now)
            return item
        }
        view.removed = plan.removed.map { removed in
            var item = item(removed.id)
            item.reasons = removed.reasons.map(\.description)
            return item
        }
        view.warnings = retention.policy.warnings + plan.warnings
        let jump = Int(now.timeIntervalSince(operations.lockTime(now)).rounded())
        if abs(jump) > 1 {
            view.warnings.append(
                "the clock has jumped by \(jump) seconds: no policy deletes anything until it is back, or a day is over"
            )
        }
        if !runs, !retention.policy.schedules.isEmpty {
            view.warnings.append(
                "the environment is \(retention.environment.status.rawValue), only active ones are backed up")
        }
        return view
    }
}
