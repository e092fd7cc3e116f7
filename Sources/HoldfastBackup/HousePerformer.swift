import Foundation
import HoldfastEnvironments
import HoldfastModel
import HoldfastRepository

/// Knows which code does the work of which activity, and how each is settled after a crash.
package struct HousePerformer: ActivityPerformer {
    private let house: House

    package init(house: House) { self.house = house }

    package func perform(_ context: ActivityContext) throws {
        do { try work(context) } catch {
            // An upgrade that is not finished may be the whole reason.
            for line in house.supervisors.strangers(of: context.activity.environment) { context.log(line) }
            // Some of what it was to delete may be gone.
            if [.retention, .backupDelete].contains(context.activity.type) {
                house.noteFacts(of: context.activity.project)
            }
            throw error
        }
        if context.activity.type != .cron { house.noteFacts(of: context.activity.project) }
    }

    private func work(_ context: ActivityContext) throws {
        let activity = context.activity
        if activity.type == .prune { return try PruneActivity(house: house, context: context).run() }
        guard let id = activity.environment else {
            throw HoldfastError(.internalFault, "activity \(activity.id) names no environment")
        }
        if activity.type == .backupDelete {
            return try DeleteActivity(backup: backupID(activity), house: house, context: context).run()
        }
        if activity.type == .retention {
            return try RetentionActivity(environment: id, house: house, context: context).run()
        }
        let environment = try house.catalogue.environment(id)
        let lifecycle = LifecycleActivity(environment: environment, house: house, context: context)
        switch activity.type {
        case .backup:
            try BackupActivity(
                backup: backupID(activity), environment: environment, safe: activity.parameters["safe"] == "true",
                orLive: activity.parameters["or_live"] == "true",
                automated: activity.parameters["automated"] == "true", house: house, context: context
            ).run()
        case .restore where activity.parameters["undo"] == "true":
            try UndoActivity(environment: environment, house: house, context: context).run()
        case .restore:
            try RestoreActivity(
                backup: try house.catalogue.backup(try backupID(activity)), environment: environment,
                restoreCode: activity.parameters["code"] != "false", house: house, context: context
            ).run()
        case .drill:
            try DrillActivity(
                backup: try house.catalogue.backup(try backupID(activity)), environment: environment, house: house,
                context: context
            ).run()
        case .push, .activate, .redeploy:
            try DeployActivity(
                environment: environment, commit: activity.parameters["commit"] ?? "", house: house, context: context
            ).run()
        case .cron:
            try CronActivity(
                environment: environment, app: activity.parameters["app"] ?? "",
                cron: activity.parameters["cron"] ?? "", house: house, context: context
            ).run()
        case .pause: try lifecycle.pause()
        case .resume: try lifecycle.resume()
        case .deactivate: try lifecycle.deactivate()
        case .delete: try lifecycle.delete()
        case .backupDelete, .retention, .projectCreate, .prune:
            throw HoldfastError(.internalFault, "activity \(activity.id) of type \(activity.type.rawValue) has no work")
        }
    }

    package func recover(_ context: ActivityContext) -> RecoveryOutcome {
        let activity = context.activity
        do {
            switch activity.type {
            case .backup: return try recoverBackup(activity)
            case .restore, .push, .activate, .redeploy: return try recoverSwitch(activity)
            case .backupDelete, .retention: return .again
            case .pause, .resume, .deactivate, .delete:
                try perform(context)
                return .finished
            case .prune:
                return .failed("the control plane stopped while it ran; all backups are whole, the next prune goes on")
            case .cron, .drill, .projectCreate:
                return .failed("the control plane stopped while it ran")
            }
        } catch {
            return .failed("the control plane stopped while it ran, and it could not be finished: \(error)")
        }
    }

    /// A backup counts from its catalogue row on: without one, it never was, and at most unreferenced packs remain.
    private func recoverBackup(_ activity: Activity) throws -> RecoveryOutcome {
        if let environment = activity.environment { thawServices(of: environment) }
        let id = try backupID(activity)
        do {
            _ = try house.catalogue.backup(id)
            return .finished
        } catch let error as HoldfastError where error.code == .notFound {
            // Only then: a catalogue that cannot be read must not cost a backup that is listed in it.
            try forgetUnlisted(id, activity)
        }
        if let environment = activity.environment {
            let staging = "\(house.layout(environment).stagingDirectory)/\(activity.id)"
            try? FileManager.default.removeItem(atPath: staging)
        }
        return .failed(
            "the control plane stopped during the backup; nothing of it is listed, the environment is unharmed")
    }

    /// The guard of a freeze lets a service go on when we die; if it was killed too, this does.
    private func thawServices(of environment: EnvironmentID) {
        guard let processes = try? house.supervisors.client(environment).status().processes else { return }
        for process in processes where process.kind == .service {
            if let leader = process.pid.flatMap({ ProcessHandle(pid: $0) }) { ServiceFreeze.thaw(leader) }
        }
    }

    /// A snapshot object that was written just before the crash has no row and must not be seen by anyone.
    private func forgetUnlisted(_ id: BackupID, _ activity: Activity) throws {
        let sites = try house.repositories.sites(of: activity.project)
        let repository = try house.repositories.open(activity.project, on: sites)
        for entry in try repository.snapshots() where entry.snapshot.info.tags.contains("backup=\(id)") {
            try repository.forget(entry.id)
        }
    }

    /// `current.json` says which side of the rename the crash was on.
    private func recoverSwitch(_ activity: Activity) throws -> RecoveryOutcome {
        guard let id = activity.environment else { return .failed("it named no environment") }
        let layout = house.layout(id)
        let current = try layout.readCurrent()
        guard let current, current.switchedBy == activity.id else {
            return .failed("the control plane stopped before the switch; the environment is as it was before")
        }
        let client = try house.supervisors.client(id)
        if activity.type == .restore, let old = try layout.readPrevious(),
            try isLive(old, try client.status(), routed: house.supervisors.routedPorts(id))
        {
            // The processes never followed: the gate opened on the old data, and what was answered since must stay.
            try StateSwitch.rollBack(
                to: old, from: current, layout: layout, client: client,
                isUndo: activity.parameters["undo"] == "true")
            return .failed("the control plane stopped in the switch; the environment is as it was before")
        }
        try client.apply(ApplyOptions(deployHooks: activity.type != .restore))
        client.waitForRetired(house.time)
        var environment = try house.catalogue.environment(id)
        environment.status = .active
        try house.catalogue.update(environment)
        return .finished
    }

    /// Whether the processes are those of a state, and the gateway leads to them: to none that runs beside them.
    private func isLive(_ state: CurrentState, _ status: SupervisorStatus, routed: Set<Int>) -> Bool {
        status.generation == state.generation
            && !status.processes.contains { process in
                process.isAside == true && process.port.map(routed.contains) == true
            }
    }

    /// After a crash: what activities had begun beside the live data, and what runs on it, goes.
    package func settled() {
        let environments: [Environment]
        do { environments = try house.catalogue.allEnvironments() } catch {
            house.logger.error("cannot look for leftovers", metadata: ["error": "\(error)"])
            return
        }
        for environment in environments {
            do {
                Builder.endLeftovers(of: environment.id)
                if environment.status == .active { try house.supervisors.client(environment.id).dropAside() }
                let layout = house.layout(environment.id)
                try layout.settleBefore()
                let removed = try layout.removeAside()
                guard !removed.isEmpty else { continue }
                house.logger.notice(
                    "removed what an interrupted activity had begun",
                    metadata: ["environment": "\(environment.id)", "directories": "\(removed)"])
            } catch {
                house.logger.error(
                    "cannot remove leftovers", metadata: ["environment": "\(environment.id)", "error": "\(error)"])
            }
        }
    }

    private func backupID(_ activity: Activity) throws -> BackupID {
        guard let id = activity.parameters["backup"].flatMap({ BackupID($0) }) else {
            throw HoldfastError(.internalFault, "activity \(activity.id) names no backup")
        }
        return id
    }
}
