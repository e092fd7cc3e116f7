import Foundation
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel
import HoldfastRetention

/// `…/backups/{b}/protect`, `/unprotect`, `/undelete`, and the label and the note of a backup. Our additions.
enum KeepingRoutes {
    static func add(to routes: Routes, below path: String) {
        routes.on(.patch, path, describe)
        routes.on(.post, "\(path)/protect") { call in
            let input = try call.input.decode(API.ProtectInput.self)
            let now = call.operations.lockTime(call.parts.time.now())
            if let until = input.lockUntil {
                var faults = InputFaults()
                if until <= now { faults.add("lock_until", "should be in the future") }
                if until > now.addingTimeInterval(BackupKeeping.longestLock) {
                    faults.add("lock_until", "should be within ten years: nobody can take a lock off")
                }
                try faults.check()
            }
            return try change(call, "environment.backup.protect") { id in
                try call.catalogue.protectBackup(id, true, lockedUntil: input.lockUntil, at: now)
            }
        }
        routes.on(.post, "\(path)/unprotect") { call in
            try change(call, "environment.backup.unprotect") { id in
                try call.catalogue.protectBackup(
                    id, false, at: call.operations.lockTime(call.parts.time.now()))
            }
        }
        routes.on(.post, "\(path)/undelete", undelete)
    }

    private static func describe(_ call: Call) throws -> Reply {
        let patch = try call.input.decode(API.BackupPatch.self)
        var faults = InputFaults()
        for (name, text, limit) in [("label", patch.label, 100), ("note", patch.note, 4000)] {
            guard let text else { continue }
            if text.count > limit { faults.add(name, "should have \(limit) characters at most, not \(text.count)") }
            if name == "label", text.contains(where: \.isNewline) { faults.add(name, "should be one line") }
        }
        try faults.check()
        return try change(call, "environment.backup.edit") { id in
            try call.catalogue.describeBackup(id, label: patch.label, note: patch.note, at: call.parts.time.now())
        }
    }

    /// One that the policy would delete again at once comes back protected.
    private static func undelete(_ call: Call) throws -> Reply {
        let owned = try call.backup()
        let now = call.parts.time.now()
        return try change(call, "environment.backup.undelete") { id in
            let protect = try owned.environment.map { try wouldGo(owned.backup, of: $0, call, at: now) } ?? false
            return try call.catalogue.undeleteBackup(id, protect: protect, at: now)
        }
    }

    private static func wouldGo(
        _ backup: Backup, of environment: Environment, _ call: Call, at now: Date
    ) throws -> Bool {
        let retention = try call.catalogue.retention(of: environment, at: now) { _, backups in
            for index in backups.indices where backups[index].id == backup.id {
                backups[index].keeping.deletedAt = nil
            }
        }
        return retention.plan().removed.contains { $0.id == backup.id }
    }

    /// Changes a backup, which needs the admin role on its environment, and answers with how it is then.
    private static func change(
        _ call: Call, _ action: String, _ work: (BackupID) throws -> Backup
    ) throws -> Reply {
        var owned = try call.backup()
        let (id, project) = (owned.backup.id, owned.backup.project)
        owned.backup = try call.audited(action, in: project, on: id.rawValue) {
            try call.principal.require(.admin, on: owned)
        } _: {
            try work(id)
        }
        call.operations.noteChange(of: project)
        return try .json(API.Accepted(activities: [], entity: call.view(of: owned), code: 200))
    }
}
