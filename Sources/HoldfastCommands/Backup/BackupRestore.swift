import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `backup:restore`
package struct BackupRestore: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "backup:restore", abstract: "Restore a backup, into its environment or into another one.",
        discussion: """
            Data is restored aside, checked, and switched in while requests are held. What was there before is kept \
            for a while: --undo puts it back. Git is never changed; the next push or redeploy takes the branch's code \
            again.

            A backup of another environment, or of one that is deleted, needs --target. Into a production environment \
            it asks, with no as the usual answer; without a terminal it needs --yes.
            """)

    @Argument(help: "The backup's id; the most recent one if left out.")
    var backup: String?

    @Option(help: ArgumentHelp("The environment to restore into.", valueName: "environment"))
    var target: String?

    @Option(help: ArgumentHelp("Parent of the target, if the target does not exist yet.", valueName: "environment"))
    var branchFrom: String?

    @Flag(help: "Restore only data, not code.")
    var noCode = false

    @Flag(name: .customLong("restore-code"), help: .hidden)
    var restoreCode = false

    @Flag(help: "Leave the target's resource settings as they are.")
    var noResources = false

    @Option(help: ArgumentHelp("Resources of new services: backup, parent, default or minimum.", valueName: "strategy"))
    var resourcesInit: String?

    @Flag(help: "Put back what the environment was before its last restore.")
    var undo = false

    @OptionGroup var selection: EnvironmentOptions
    @OptionGroup var confirm: ConfirmOptions
    @OptionGroup var wait: WaitOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package mutating func validate() throws {
        let known = ["backup", "parent", "default", "minimum"]
        if let resourcesInit, !known.contains(resourcesInit) {
            throw ValidationError("'\(resourcesInit)' is no such strategy; use one of \(known.joined(separator: ", "))")
        }
        let others =
            backup != nil || target != nil || branchFrom != nil || noCode || noResources || resourcesInit != nil
        if undo, others {
            throw ValidationError("--undo takes no backup and no options of a restore; give only the environment")
        }
    }

    package func run(in session: Session) async throws {
        if undo {
            let environment = try await session.selection(selection).environment
            return try await undoRestore(environment, session)
        }
        let found = try await session.backup(backup, selection)
        let (project, value) = (found.project, found.backup.value)
        guard value.restorable else {
            throw HoldfastError(
                .conflict,
                "backup '\(value.id)' cannot be restored: "
                    + (value.restorableProblem ?? "its status is \(value.status)"),
                hint: "Choose another one with `holdfast backup:list`, or bring the site back")
        }
        if let branchFrom { _ = try await session.environment(branchFrom, of: project) }
        if resourcesInit != nil { try await requireSizing(project, session) }
        let name = try targetName(found)
        let existing = try await session.findEnvironment(name, of: project)
        let lines = plan(value, target: existing?.value.name ?? name, existing?.value, session)
        // Nothing is overwritten in an environment that is not there: the server says at once whether it can be made.
        if let existing {
            for line in lines { session.output.error(line) }
            try confirm.ask(
                "Restore it?", on: session.output,
                isDangerous: existing.value.type == EnvironmentType.production.rawValue)
        }
        let input = API.RestoreInput(
            environmentName: existing?.value.name ?? name, branchFrom: branchFrom, restoreCode: noCode ? false : nil,
            restoreResources: noResources ? false : nil, resources: resourcesInit.map { .init($0) })
        let started = try await session.client.restore(found.backup, input)
        if existing == nil {
            for line in lines { session.output.error(line) }
        }
        guard try await session.finish(started, wait) != nil else { return }
        session.output.error("Backup \(value.id) is restored to environment \(input.environmentName ?? name).")
        session.output.error("Undo it with: holdfast backup:restore --undo -p \(project.value.id) -e \(name)")
    }

    /// Where it goes: what `--target` says, else the environment that it is of.
    private func targetName(_ found: FoundBackup) throws -> String {
        if let target { return target == "." ? found.project.value.defaultBranch : target }
        let (id, origin) = (found.backup.value.id, found.backup.value.environment)
        if let named = found.environment?.value.name {
            guard named == origin else {
                throw HoldfastError(
                    .invalidInput, "backup '\(id)' is of environment '\(origin)', not of '\(named)'",
                    hint: "Say where it goes with --target, such as --target \(named)")
            }
            return origin
        }
        guard found.backup.value.environmentDeleted != true else {
            throw HoldfastError(
                .invalidInput, "environment '\(origin)' of backup '\(id)' is deleted",
                hint: "Say where it goes with --target, such as --target \(found.project.value.defaultBranch)")
        }
        return origin
    }

    /// What will change, before anybody is asked.
    private func plan(
        _ backup: API.Backup, target: String, _ existing: API.Environment?, _ session: Session
    ) -> [String] {
        let dates = DateFormat(timeZone: session.surroundings.timeZone)
        let created = backup.createdAt.map(dates.text) ?? "unknown"
        var lines = ["Backup \(backup.id) of \(created), \(backup.safe ? "consistent" : "live")"]
        if backup.environment != target || backup.environmentDeleted == true {
            let note = backup.environmentDeleted == true ? " (deleted)" : ""
            lines.append("  taken of environment: \(backup.environment)\(note)")
        }
        lines.append(
            "  restored to environment: \(target)\(existing.map { " (type: \($0.type))" } ?? ", which is new")")
        let commit = backup.commitId.prefix(12)
        if noCode {
            lines.append("  only data, not code, will be restored")
        } else if let now = existing?.deployedCommit, now != backup.commitId {
            lines.append("  code: commit \(commit) instead of \(now.prefix(12))")
        } else {
            lines.append("  code: commit \(commit)")
        }
        if existing != nil { lines.append("  data: everything written there since is replaced") }
        return lines
    }

    private func requireSizing(_ project: Resource<API.Project>, _ session: Session) async throws {
        let settings = try await session.client.settings(of: project.value.id)
        guard settings.value.sizingApiEnabled else {
            throw HoldfastError(
                .unsupported, "project '\(project.value.id)' has no sizes of services",
                hint: "Leave out --resources-init")
        }
    }

    private func undoRestore(_ environment: Resource<API.Environment>, _ session: Session) async throws {
        let value = environment.value
        var operation = EnvironmentOperation(
            operation: "undo-restore", verb: "undo the last restore of",
            question: "Put back what environment \(value.name) was before its last restore?",
            isDangerous: value.type == EnvironmentType.production.rawValue,
            outcome: "is what it was before its last restore")
        operation.plan = Self.undoPlan(value, session.label(environment))
        try await operation.run(on: environment, in: session, confirm, wait)
    }

    /// What an undo changes, as far as the server says it.
    private static func undoPlan(_ environment: API.Environment, _ label: String) -> [String] {
        guard let before = environment.beforeRestore else { return [] }
        func code(_ commit: String, _ backup: BackupID?) -> String {
            "commit \(commit.prefix(12))\(backup.map { " of backup \($0)" } ?? "")"
        }
        var lines = ["Environment \(label)"]
        lines.append(
            "  code: \(code(before.commit, before.restoredFrom)) instead of "
                + code(environment.deployedCommit ?? "unknown", environment.restoredFrom))
        lines.append("  data: as it was just before the restore")
        lines.append("  what requests and crons have written since is put aside; a second undo returns to it")
        return lines
    }
}
