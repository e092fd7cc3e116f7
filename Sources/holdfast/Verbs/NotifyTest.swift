import ArgumentParser
import Foundation
import HoldfastCommands
import HoldfastModel
import HoldfastNotifications

/// `holdfast notify:test`
struct NotifyTest: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "notify:test", abstract: "Send a trial notice to those who are told what goes wrong.",
        discussion: """
            Reads settings.json in the state directory and sends by itself, whether serve runs or not. Ends with \
            status 1 if a channel cannot be reached, or none is set.
            """)

    @OptionGroup var options: HomeOptions

    @Argument(help: "Channels by their names; all of them if left out.")
    var channels: [String] = []

    func run() async throws {
        let surroundings = Surroundings.current
        let home = options.stateDirectory
        guard FileManager.default.fileExists(atPath: home.settings) else {
            throw HoldfastError(
                .notFound, "there is no settings.json in \(home.path)", hint: "Name the state directory with --home")
        }
        let all = try Settings.load(home).notifications ?? []
        if let unknown = channels.first(where: { name in !all.contains { $0.name == name } }) {
            throw HoldfastError(
                .notFound, "there is no notification channel '\(unknown)' in \(home.settings)",
                hint: "Use one of \(all.map(\.name).joined(separator: ", "))")
        }
        let wanted = all.filter { channels.isEmpty || channels.contains($0.name) }
        guard !wanted.isEmpty else {
            throw HoldfastError(
                .notFound, "nobody is told what goes wrong: \(home.settings) has no notifications",
                hint: "Set some as docs/operations.md says, under Notifications")
        }
        var failed = false
        for channel in wanted {
            let now = surroundings.time.now()
            let notice = Notice(
                id: UUID().uuidString.lowercased(), kind: .test, change: .raised, at: now, since: now,
                text: "this is a trial, and nothing is wrong")
            do {
                let remark = try await Delivery(channel: channel, time: surroundings.time).deliver(notice)
                surroundings.output.error("\(channel.name): delivered\(remark.map { ", but \($0)" } ?? "")")
                failed = failed || remark != nil
            } catch let error as HoldfastError {
                surroundings.output.error("\(channel.name): \(PlainText.lines(error.description))")
                failed = true
            }
        }
        if failed { throw CommandFailure(.failure) }
    }
}
