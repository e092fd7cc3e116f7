import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `status`
package struct Status: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Say whether all backups are there that should be.",
        discussion: """
            For each environment: the last good backup, when the next one is due, what is overdue, the sites \
            that hold the last one, and the last drill: when a backup was last really restored, aside or for good. \
            Without --project of all projects.

            Ends with status 1 if a backup is overdue by more than 15 minutes, or the last one is not on every site, \
            or one of its sites cannot be reached.

            With --metrics it prints the same in the text format of Prometheus, such as for the textfile collector of \
            its node exporter, and then always ends well.
            """)

    @Flag(help: "Print metrics in the text format of Prometheus.")
    var metrics = false

    @OptionGroup var selection: ProjectOptions
    @OptionGroup var table: TableOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package func run(in session: Session) async throws {
        var rows: [[String: Cell]] = []
        var troubles: [String] = []
        var gauges: [BackupMetrics] = []
        for project in try await projects(session) {
            for environment in try await session.client.environments(of: project) {
                let line = try await Line(project, environment, session)
                rows.append(line.row)
                gauges.append(line.metrics)
                if let problem = line.problem {
                    troubles.append("\(project.value.title), \(environment.value.name): \(problem)")
                }
            }
        }
        if metrics { return session.output.out(BackupMetrics.text(gauges)) }
        guard !rows.isEmpty || table.format == .json else {
            return session.output.error("There are no environments, so nothing is backed up.")
        }
        let columns = [
            Table.Column("project", "Project"), Table.Column("environment", "Environment"),
            Table.Column("last", "Last good"), Table.Column("next", "Next due"), Table.Column("state", "State"),
            Table.Column("sites", "Sites"), Table.Column("drill", "Last drill"),
            Table.Column("status", "Status", isDefault: false),
            Table.Column("overdue", "Overdue seconds", isDefault: false),
            Table.Column("backups", "Backups", isDefault: false),
        ]
        try session.show(Table(columns: columns, rows: rows), table, heading: "Backups on \(session.server):")
        guard !troubles.isEmpty else { return }
        for trouble in troubles { session.output.error(trouble) }
        throw CommandFailure(.failure)
    }

    private func projects(_ session: Session) async throws -> [Resource<API.Project>] {
        if selection.project != nil { return [try await session.project(selection)] }
        var projects: [Resource<API.Project>] = []
        for reference in try await session.client.projects() {
            projects.append(try await session.client.project(reference.id))
        }
        return projects
    }

    /// What is to be said of one environment.
    private struct Line {
        let row: [String: Cell]
        /// Nil if all is well.
        let problem: String?
        let metrics: BackupMetrics

        init(
            _ project: Resource<API.Project>, _ environment: Resource<API.Environment>, _ session: Session
        ) async throws {
            let retention = try await session.client.retention(of: environment).value
            let last = try await session.client.backups(of: environment).map(\.value).first(where: \.isGood)
            var problems: [String] = []
            if retention.overdueSeconds > Overdue.patience {
                problems.append("a backup is overdue by \(retention.overdueSeconds / 60) minutes")
            }
            let missing = (last?.sites ?? []).filter { !$0.complete }.map(\.name)
            if !missing.isEmpty { problems.append("the last backup is not on \(missing.joined(separator: ", "))") }
            let away = (last?.sites ?? []).filter { $0.complete && !$0.reachable }.map(\.name)
            if !away.isEmpty { problems.append("\(away.joined(separator: ", ")) cannot be reached") }
            metrics = BackupMetrics(
                project: project.value.id.rawValue, environment: environment.value.name, type: environment.value.type,
                last: last, retention: retention)
            problem = problems.isEmpty ? nil : problems.joined(separator: "; ")
            row = [
                "project": .text(project.value.title), "environment": .text(environment.value.name),
                "last": .date(last?.createdAt), "next": .date(retention.nextDueAt),
                "state": .text(problem ?? "good"), "drill": .date(retention.lastDrillAt),
                "sites": .list((last?.sites ?? []).filter { $0.complete && $0.reachable }.map(\.name)),
                "status": .text(environment.value.status), "overdue": .integer(Int64(retention.overdueSeconds)),
                "backups": .integer(Int64(retention.kept.count + retention.removed.count)),
            ]
        }
    }
}
