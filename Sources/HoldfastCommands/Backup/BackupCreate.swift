import ArgumentParser
import Foundation
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `backup:create`
package struct BackupCreate: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "backup:create",
        abstract: "Back up an environment: code, services and mounts at one point in time.",
        discussion: """
            While the point in time is taken, requests are held, not dropped; that is usually far less than a second. \
            With --live nothing is held, and services and files may differ by some milliseconds. If a request or \
            worker does not end in time, the backup fails; with --or-live it is then a live one.

            Prints 'Backup name: <id>'. All else goes to standard error.
            """,
        aliases: ["backup"])

    @Argument(help: "The environment.")
    var environment: String?

    @Flag(
        name: [.customLong("live"), .customLong("unsafe")], help: "Do not hold requests; the data may be inconsistent.")
    var live = false

    @Flag(help: "Take a live backup if no consistent one can be had in time.")
    var orLive = false

    @Flag(help: "Say how the point in time would be taken and how long a hold to expect, and do nothing.")
    var dryRun = false

    @OptionGroup var selection: EnvironmentOptions
    @OptionGroup var confirm: ConfirmOptions
    @OptionGroup var wait: WaitOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package func run(in session: Session) async throws {
        let selected = try await session.selection(selection, argument: environment)
        let environment = try await session.offering("backup", selected.environment, "back up")
        let output = session.output
        if dryRun {
            let forecast = try await session.client.backupForecast(of: environment)
            for line in BackupExpectation(forecast, live: live).lines { output.out(line + "\n") }
            return
        }
        if !wait.noWait { try refuseOwnCron(environment, session) }
        output.error(
            live
                ? "A live backup of the environment \(session.label(environment)): requests go on, "
                    + "and services and files may differ by some milliseconds."
                : "A consistent backup of the environment \(session.label(environment)): "
                    + "requests are held for a moment."
        )
        try confirm.ask("Create it?", on: output)
        let started = try await session.client.createBackup(of: environment, safe: !live, orLive: orLive)
        guard let started else {
            throw await session.refusal(of: "backup", environment, "back up")
        }
        let reporter = try await session.finish(started, wait)
        let name = started.activities.first { $0.value.type == "environment.backup" }?.value.backupName
        guard let name else { return }
        if let reporter { try await conclude(name, environment, reporter, session) }
        output.out("Backup name: \(name)\n")
    }

    /// A backup begins when the crons of its environment have ended, so a cron would wait for it until its time is up.
    private func refuseOwnCron(_ environment: Resource<API.Environment>, _ session: Session) throws {
        let surroundings = session.surroundings
        guard let cron = surroundings.variable("HOLDFAST_CRON"),
            surroundings.variable("PLATFORM_PROJECT") == environment.value.project.rawValue,
            surroundings.variable("PLATFORM_BRANCH") == environment.value.name
        else { return }
        throw HoldfastError(
            .conflict, "cron '\(cron)' cannot wait for a backup of its own environment, which waits for crons",
            hint: "Use --no-wait")
    }

    /// What the backup says of itself, as far as the log did not say it.
    private func conclude(
        _ name: String, _ environment: Resource<API.Environment>, _ reporter: ProgressReporter, _ session: Session
    ) async throws {
        guard let backup = try await session.client.backup(name, of: environment) else {
            throw HoldfastError(
                .internalFault, "the activity succeeded, and backup '\(name)' is not listed",
                hint: "Look at `holdfast backup:list` before you rely on it")
        }
        let summary = BackupSummary(backup.value)
        if !reporter.hasLogged(summary.point) { session.output.error(summary.point) }
        if !reporter.hasLogged("new data") { session.output.error(summary.amounts) }
        if let problem = summary.problem { session.output.error(problem) }
    }
}

/// The lines that tell what a backup is worth.
struct BackupSummary {
    /// `held 212 ms (37 requests, longest 187 ms), consistent`
    let point: String
    /// Size, new data and sites.
    let amounts: String
    /// What is wrong with it; nil if nothing is.
    let problem: String?

    init(_ backup: API.Backup) {
        if let hold = backup.hold {
            point = hold.summary
        } else if let skew = backup.skew {
            point = "live, marks within \(Int(skew.milliseconds.rounded(.up))) ms"
        } else {
            point = backup.safe ? "consistent" : "live"
        }
        let complete = backup.sites.filter(\.complete).map(\.name)
        amounts =
            "size \(Amount.bytes(backup.sizeOfVolumes ?? 0)), new data \(Amount.bytes(backup.sizeUsed ?? 0)), on "
            + (complete.isEmpty ? "no site" : complete.joined(separator: ", "))
        let missing = backup.sites.filter { !$0.complete }
        problem =
            missing.isEmpty
            ? nil
            : "Degraded: not on "
                + missing.map { "\($0.name) (\($0.problem ?? "no reason known"))" }
                .joined(separator: ", ")
    }
}

/// The lines that `--dry-run` prints.
struct BackupExpectation {
    let lines: [String]

    init(_ forecast: API.BackupForecast, live: Bool) {
        var lines =
            forecast.serviceMarks?.map(Self.line)
            ?? forecast.services.map { "service \($0): read before, marked in the hold, completed after it" }
        lines += forecast.mounts.map { mount in
            let found =
                mount.watched
                ? "files that the kernel tells were touched" : "every file is looked at, and those that changed"
            return "mount \(mount.name): \(found) are "
                + (mount.shared ? "shared with a copy (reflink)" : "copied aside as a whole (no reflink)")
        }
        if live {
            lines.append("a live backup holds no requests")
        } else if let usual = forecast.holdMilliseconds, let longest = forecast.longestHoldMilliseconds {
            lines.append(
                "expected hold: \(Int(usual.rounded())) ms (\(forecast.holds) consistent backups, "
                    + "longest \(Int(longest.rounded())) ms)")
        } else {
            lines.append("expected hold: unknown, there is no consistent backup of this environment yet")
        }
        self.lines = live ? lines.map { $0.replacingOccurrences(of: "in the hold", with: "while it runs") } : lines
    }

    private static func line(_ service: API.BackupForecast.Service) -> String {
        let aside = service.shared.map { $0 ? " by sharing their blocks (reflink)" : " as whole copies (no reflink)" }
        return "service \(service.name): \(service.method), \(service.mark)" + (aside ?? "")
    }
}
