import ArgumentParser
import Foundation
import HoldfastAPI
import HoldfastClient
import HoldfastCommands
import HoldfastControl
import HoldfastEnvironments
import HoldfastModel

/// `holdfast git-hook`: called by the hooks of a project's repository.
struct GitHook: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "git-hook", abstract: "Checks and deploys what is pushed; called by Git.", shouldDisplay: false)

    @Option(help: "The state directory.")
    var home: String

    @Option(help: "The project's id.")
    var project: String

    @Argument(help: "pre-receive or post-receive.")
    var hook: String

    func run() async throws {
        guard let project = ProjectID(project) else {
            throw HoldfastError(.invalidInput, "'\(project)' is not the id of a project")
        }
        let directory = StateDirectory(home)
        let input = try FileHandle.standardInput.readToEnd() ?? Data()
        let updates = try GitReferenceUpdate.parse(String(decoding: input, as: UTF8.self))
        let pusher = try Pusher.read(ProcessInfo.processInfo.environment)
        switch hook {
        case "pre-receive":
            if let pusher { try await judge(updates, project, pusher, directory) }
            try check(updates, project, directory)
        case "post-receive": try await deploy(updates, project, pusher, directory)
        default: throw HoldfastError(.invalidInput, "'\(hook)' is not a hook of ours")
        }
    }

    /// Refuses the push if one of its branches is not for whoever pushes.
    private func judge(
        _ updates: [GitReferenceUpdate], _ project: ProjectID, _ pusher: Pusher, _ home: StateDirectory
    ) async throws {
        let question = PushJudgement(project: project, references: updates.map(\.reference), pusher: pusher)
        _ = try await ask(.judge(question), PushVerdict.self, home)
    }

    private func ask<Answer: Decodable & Sendable>(
        _ question: PushQuestion, _ answer: Answer.Type, _ home: StateDirectory
    ) async throws -> Answer {
        try await offload("push") {
            let connection = try ControlConnection(path: "\(home.run)/serve.sock")
            defer { connection.close() }
            return try connection.call(question, timeout: .seconds(30))
        }
    }

    /// Refuses the push if a configuration in it is wrong.
    private func check(_ updates: [GitReferenceUpdate], _ project: ProjectID, _ home: StateDirectory) throws {
        let repository = GitRepository(
            path: home.gitDirectory(project),
            quarantine: GitQuarantine(environment: ProcessInfo.processInfo.environment))
        let lines = try GitPushCheck(repository: repository, types: InstalledTypes()).check(updates)
        for line in lines { Surroundings.current.output.error(line) }
    }

    /// Asks `serve` to deploy each branch and shows the log until it is done.
    private func deploy(
        _ updates: [GitReferenceUpdate], _ project: ProjectID, _ pusher: Pusher?, _ home: StateDirectory
    ) async throws {
        let output = Surroundings.current.output
        var failed = false
        for update in updates {
            guard let branch = update.branch else { continue }
            guard let commit = update.new else {
                output.error("Branch \(branch) is gone; its environment stays until environment:delete.")
                continue
            }
            let message = PushMessage(project: project, branch: branch, commit: commit, user: pusher?.user)
            guard let activity = try await queue(message, home, output) else { continue }
            let succeeded = try await follow(activity, of: branch, project, home)
            guard !succeeded else { continue }
            failed = true
            output.error(
                "Branch \(branch) is at \(commit.prefix(12)) now, but its deployment did not succeed: what ran before "
                    + "goes on. Correct it and push again, or run environment:redeploy; see activity:log \(activity).")
        }
        if failed { throw CommandFailure(.failure) }
    }

    private func queue(_ message: PushMessage, _ home: StateDirectory, _ output: Output) async throws -> ActivityID? {
        do {
            return try await ask(.deploy(message), PushAnswer.self, home).activity
        } catch let error as HoldfastError where error.code == .unavailable {
            output.error("The control plane is down; the push is kept, and deployed when it starts.")
            return nil
        }
    }

    private func follow(
        _ id: ActivityID, of branch: String, _ project: ProjectID, _ home: StateDirectory
    ) async throws -> Bool {
        let output = Surroundings.current.output
        let url = try String(contentsOfFile: home.url, encoding: .utf8)
        let token = try String(contentsOfFile: home.token, encoding: .utf8)
        return try await APIClient.withClient(
            server: try ServerAddress(url.trimmingCharacters(in: .whitespacesAndNewlines)),
            token: Secret(token.trimmingCharacters(in: .whitespacesAndNewlines)), time: SystemTime()
        ) { client in
            let activity = try await client.activity(id.rawValue, of: try await client.project(project))
            let final = try await client.wait(for: activity, observer: LogPrinter(output: output))
            guard final.value.result == "success" else { return false }
            if let address = try await client.environment(branch, of: project)?.value.publicUrl {
                output.error("Environment \(branch) is at \(address)")
            }
            return true
        }
    }
}

private final class LogPrinter: ActivityObserver {
    private let output: Output
    init(output: Output) { self.output = output }
    func activityLogged(_ message: LogMessage) { output.errorPart(message.text) }
    func activityChanged(_ activity: Resource<API.Activity>) {}
}
