import ArgumentParser
import Foundation
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `backup:policy`
package struct BackupPolicy: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "backup:policy", abstract: "Show, change, preview or simulate a backup policy.",
        discussion: """
            A policy belongs to a type of environment; which one is said by the environment. It is changed by what is \
            given with --schedule, --max-backups, --manual-count and --default; the rest stays.

            show      the policy, when the next backup is due, and what is overdue
            preview   what the policy, or a change of it, keeps and deletes, with the reasons
            simulate  what would be there after --days days if every automated backup worked
            set       save the change for all environments of the type; says what goes in each, and asks before

            An interval is a number and a unit: h hours, d days, w weeks, M months, y years. Days, weeks, months and \
            years are those of the project's time zone.
            """)

    enum Action: String, ExpressibleByArgument, CaseIterable {
        case show
        case preview
        case simulate
        case set
    }

    @Argument(help: "show, preview, simulate or set.")
    var action: Action = .show

    @OptionGroup var change: PolicyChange

    @Option(help: ArgumentHelp("How many days to simulate.", valueName: "number"))
    var days = 365

    @OptionGroup var selection: EnvironmentOptions
    @OptionGroup var confirm: ConfirmOptions
    @OptionGroup var table: TableOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package mutating func validate() throws {
        if action == .show, !change.isEmpty {
            throw ValidationError("show changes nothing; use preview, simulate or set with these options")
        }
        if action == .set, change.isEmpty {
            throw ValidationError(
                "there is nothing to set; give --schedule, --no-schedule, --max-backups, --manual-count or --default")
        }
    }

    package func run(in session: Session) async throws {
        let selected = try await session.selection(selection, usesDefault: true)
        let environment = selected.environment
        // `nil` alone would be JSON's null, which goes back to the default.
        let patch: JSONValue? =
            change.isEmpty ? Optional<JSONValue>.none : .some(change.json(for: environment.value.type))
        let client = session.client
        switch action {
        case .show: try show(try await client.retention(of: environment), session)
        case .preview: try preview(try await client.previewRetention(of: environment, patch, days: nil), session)
        case .simulate: try simulate(try await client.previewRetention(of: environment, patch, days: days), session)
        case .set: try await set(patch ?? .null, selected, session)
        }
    }

    private func show(_ retention: Resource<API.Retention>, _ session: Session) throws {
        let value = retention.value
        warn(value, session)
        var shown = retention.properties
        if table.format != .json {
            for key in ["kept", "removed", "due", "warnings"] { shown[key] = nil }
            shown["schedule"] = .string(Self.text(value))
            shown["backups"] = .integer(Int64(value.kept.count))
            let missed = value.schedule.filter { $0.missed > 0 }.map { "\($0.missed) of \($0.interval)" }
            shown["missed"] = .string(missed.isEmpty ? "none" : missed.joined(separator: ", "))
        }
        try session.show(
            shown, property: nil, table, heading: "The backup policy of environment \(value.environment):",
            first: ["schedule", "manual_count", "max_backups", "next_due_at", "overdue_seconds"])
    }

    private func preview(_ retention: Resource<API.Retention>, _ session: Session) throws {
        let value = retention.value
        warn(value, session)
        session.output.error("Schedules: \(Self.text(value))")
        if table.format == .json { return session.output.out(try PropertyRenderer.json(.object(retention.properties))) }
        guard !value.kept.isEmpty || !value.removed.isEmpty else {
            return session.output.error("There are no backups, so nothing is kept and nothing goes.")
        }
        let rows = value.kept.map { row($0, "keep") } + value.removed.reversed().map { row($0, "delete") }
        let columns = [
            Table.Column("created_at", "Created"), Table.Column("id", "Backup ID"),
            Table.Column("decision", "Decision"),
            Table.Column("reasons", "Because"), Table.Column("expires_at", "Expires"),
            Table.Column("automated", "Automated", isDefault: false),
        ]
        try session.show(
            Table(columns: columns, rows: rows), table,
            heading: "Kept \(value.kept.count), deleted \(value.removed.count):")
    }

    private func row(_ item: API.Retention.Item, _ decision: String) -> [String: Cell] {
        [
            "created_at": .date(item.createdAt), "id": .text(item.id.rawValue), "decision": .text(decision),
            "reasons": .list(item.reasons), "expires_at": .date(item.expiresAt), "automated": .flag(item.automated),
        ]
    }

    private func simulate(_ retention: Resource<API.Retention>, _ session: Session) throws {
        let value = retention.value
        warn(value, session)
        session.output.error("Schedules: \(Self.text(value))")
        if table.format == .json { return session.output.out(try PropertyRenderer.json(.object(retention.properties))) }
        guard let simulation = value.simulation else {
            throw HoldfastError(
                .internalFault, "the server simulated nothing", hint: "Use the same version of holdfast on both sides")
        }
        session.output.error(
            "In \(simulation.days) days \(simulation.backups) automated backups are taken; at most "
                + "\(simulation.largest) are there at once, \(simulation.left) at the end.")
        guard !simulation.entries.isEmpty else { return }
        let rows = simulation.entries.map { entry -> [String: Cell] in
            ["created_at": .date(entry.createdAt), "reasons": .list(entry.kept)]
        }
        let columns = [Table.Column("created_at", "Created"), Table.Column("reasons", "Kept because")]
        try session.show(Table(columns: columns, rows: rows), table, heading: "At the end:")
    }

    /// Shows what goes before it asks, in each environment of the type: the policy is theirs as well.
    private func set(_ patch: JSONValue, _ selected: Selection, _ session: Session) async throws {
        let type = selected.environment.value.type
        let plan = try await session.client.previewRetention(of: selected.environment, patch, days: nil).value
        warn(plan, session)
        session.output.error("Schedules of \(type) environments: \(Self.text(plan))")
        var goes: [(environment: String, count: Int)] = []
        for environment in try await session.client.environments(of: selected.project)
        where environment.value.type == type {
            let name = environment.value.name
            let isSelected = environment.value.id == selected.environment.value.id
            let removed =
                isSelected
                ? plan.removed
                : try await session.client.previewRetention(of: environment, patch, days: nil).value.removed
            for item in removed {
                session.output.error("  deletes \(item.id) of \(name): \(item.reasons.joined(separator: "; "))")
            }
            if !removed.isEmpty { goes.append((name, removed.count)) }
        }
        let count = goes.reduce(0) { $0 + $1.count }
        if count > 0 {
            let names = goes.map(\.environment).joined(separator: ", ")
            try confirm.ask(
                "Delete \(count) backup\(count == 1 ? "" : "s") of \(names)?", on: session.output, isDangerous: true)
        }
        _ = try await session.client.changeSettings(of: selected.project.value.id, ["data_retention": patch])
        session.output.error("The policy of \(type) environments is set.")
    }

    private func warn(_ retention: API.Retention, _ session: Session) {
        for warning in retention.warnings { session.output.error("Warning: \(warning).") }
        if retention.overdueSeconds > 0 {
            session.output.error("Overdue: a backup should have been taken \(retention.overdueSeconds) seconds ago.")
        }
    }

    /// `1d × 7, 1w × 4 (consistent)`
    private static func text(_ retention: API.Retention) -> String {
        guard !retention.schedule.isEmpty else { return "none, nothing is backed up by itself" }
        return retention.schedule.map { "\($0.interval) × \($0.count)\($0.safe ? " (consistent)" : "")" }
            .joined(separator: ", ")
    }
}

/// What a policy is to become.
struct PolicyChange: ParsableArguments {
    @Option(
        name: .customLong("schedule"),
        help: ArgumentHelp(
            "A schedule, such as 1d:7; several are given one after the other and replace those that are set. "
                + "1d:7:safe takes consistent backups.", valueName: "interval:count"))
    var schedules: [PolicySchedule] = []

    @Flag(help: "No schedule: nothing is backed up by itself.")
    var noSchedule = false

    @Option(help: ArgumentHelp("At most so many backups of all kinds, or none for no limit.", valueName: "number"))
    var maxBackups: PolicyLimit?

    @Option(help: ArgumentHelp("At most so many manual backups, or none for no limit.", valueName: "number"))
    var manualCount: PolicyLimit?

    @Flag(name: .customLong("default"), help: "Back to the default, before what else is given.")
    var isDefault = false

    mutating func validate() throws {
        if noSchedule, !schedules.isEmpty {
            throw ValidationError("--schedule and --no-schedule exclude each other; give one of them")
        }
    }

    var isEmpty: Bool {
        schedules.isEmpty && !noSchedule && maxBackups == nil && manualCount == nil && !isDefault
    }

    /// As `data_retention` of the API.
    func json(for type: String) -> JSONValue {
        var config: [String: JSONValue] = [:]
        if noSchedule || !schedules.isEmpty { config["schedule"] = .array(schedules.map(\.json)) }
        if let manualCount { config["manual_count"] = manualCount.json }
        var limits: [String: JSONValue] = config.isEmpty ? [:] : ["default_config": .object(config)]
        if let maxBackups { limits["max_backups"] = maxBackups.json }
        guard isDefault else { return .object([type: .object(limits)]) }
        if limits.isEmpty { return .object([type: .null]) }
        for key in ["manual_count", "schedule"] where config[key] == nil { config[key] = .null }
        limits["default_config"] = .object(config)
        limits["max_backups"] = limits["max_backups"] ?? .null
        return .object([type: .object(limits)])
    }
}

/// `1d:7` or `1d:7:safe`; the server says what is wrong with interval and count.
struct PolicySchedule: ExpressibleByArgument {
    let json: JSONValue

    init?(argument: String) {
        let parts = argument.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard (2...3).contains(parts.count), let count = Int64(parts[1]) else { return nil }
        guard parts.count == 2 || parts[2] == "safe" else { return nil }
        var fields: [String: JSONValue] = ["interval": .string(parts[0]), "count": .integer(count)]
        if parts.count == 3 { fields["safe"] = true }
        json = .object(fields)
    }
}

/// A number, or `none`.
struct PolicyLimit: ExpressibleByArgument {
    let json: JSONValue

    init?(argument: String) {
        if argument == "none" {
            json = .null
        } else if let number = Int64(argument) {
            json = .integer(number)
        } else {
            return nil
        }
    }
}
