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
        let selected = try await session.selection(selection)
        if undo { return try await undoRestore(selected.environment, session) }
        let found = try await session.backup(backup, of: selected.environment)
        guard found.value.restorable else {
            throw HoldfastError(
                .conflict,
                "backup '\(found.value.id)' cannot be restored: "
                    + (found.value.restorableProblem ?? "its status is \(found.value.status)"),
                hint: "Choose another one with `holdfast backup:list`, or bring the site back")
        }
        let project = selected.project
        if let branchFrom { _ = try await session.environment(branchFrom, of: project) }
        if resourcesInit != nil { try await requireSizing(project, session) }
        let name = target == "." ? project.value.defaultBranch : target ?? selected.environment.value.name
        let existing = try await session.client.environment(name, of: project.value.id)
        if let target, existing == nil, branchFrom == nil {
            session.output.error("Environment \(target) does not exist yet; without --branch-from it has no parent.")
        }
        for line in plan(found.value, target: name, existing?.value, session) { session.output.error(line) }
        try confirm.ask("Restore it?", on: session.output)
        let input = API.RestoreInput(
            environmentName: name, branchFrom: branchFrom, restoreCode: noCode ? false : nil,
            restoreResources: noResources ? false : nil, resources: resourcesInit.map { .init($0) })
        guard let started = try await session.client.restore(found, input) else {
            throw Refusal.of("restore backup '\(found.value.id)' of", selected.environment.value)
        }
        guard try await session.finish(started, wait) != nil else { return }
        session.output.error("Backup \(found.value.id) is restored to environment \(name).")
        session.output.error("Undo it with: holdfast backup:restore --undo -p \(project.value.id) -e \(name)")
    }

    /// What will change, before anybody is asked.
    private func plan(
        _ backup: API.Backup, target: String, _ existing: API.Environment?, _ session: Session
    ) -> [String] {
        let dates = DateFormat(timeZone: session.surroundings.timeZone)
        let created = backup.createdAt.map(dates.text) ?? "unknown"
        var lines = ["Backup \(backup.id) of \(created), \(backup.safe ? "consistent" : "live")"]
        if backup.environment != target { lines.append("  taken of environment: \(backup.environment)") }
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
        let operation = EnvironmentOperation(
            operation: "undo-restore", verb: "undo the last restore of",
            question: "Put back what environment \(environment.value.name) was before its last restore?",
            outcome: "is what it was before its last restore")
        try await operation.run(on: environment, in: session, confirm, wait)
    }
}
