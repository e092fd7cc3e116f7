import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// `activity:log`
package struct ActivityLog: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "activity:log", abstract: "Show an activity's log, and follow it until the activity is over.")

    @OptionGroup var activity: ActivityOptions

    @Flag(name: [.customShort("t"), .customLong("timestamps")], help: "Put its time in front of each line.")
    var timestamps = false

    @OptionGroup var dates: DateOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package func run(in session: Session) async throws {
        let found = try await session.activity(activity)
        let value = found.value
        let format = dates.format(in: session.surroundings.timeZone)
        session.output.error("Activity \(value.id): \(value.text)")
        session.output.error("Type: \(value.type), created \(value.createdAt.map(format.text) ?? "unknown")")
        try await session.client.followLog(of: found) { message in
            let prefix = timestamps ? "[\(message.at.map(format.text) ?? "")] " : ""
            session.output.out(prefix + message.text)
        }
        let final = try await session.client.refreshed(found).value
        let reason = final.failure.map { ": \($0)" } ?? ""
        session.output.error("State: \(final.state), result: \(final.result ?? "none")\(reason)")
    }
}
