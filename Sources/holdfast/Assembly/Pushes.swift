import Foundation
import HoldfastBackup
import HoldfastCatalogue
import HoldfastControl
import HoldfastEnvironments
import HoldfastModel

/// What a receive hook tells `serve` about one branch.
struct PushMessage: Codable, Sendable {
    var project: ProjectID
    var branch: String
    var commit: String
}

/// The answer: which activity deploys it.
struct PushAnswer: Codable, Sendable {
    var activity: ActivityID
}

/// The hooks of the bare repositories: they call this binary, which speaks to `serve` over its socket.
struct PushHooks: Sendable {
    let home: StateDirectory

    func install(in repository: GitRepository, project: ProjectID) throws {
        try repository.installHooks(
            command: [OwnBinary.path, "git-hook", "--home", home.path, "--project", project.rawValue])
    }
}

/// Makes a deployment out of every push, also of those that came while `serve` was down.
struct PushReceiver: Sendable {
    let catalogue: Catalogue
    let desk: ActivityDesk
    let home: StateDirectory

    func receive(_ message: PushMessage) throws -> PushAnswer {
        let activity = try desk.submit(
            .push(message.project, branch: message.branch, commit: message.commit), by: try pusher())
        return PushAnswer(activity: activity.id)
    }

    /// Compares the branches with what is known of them.
    func catchUp() throws {
        for project in try catalogue.projects() {
            let repository = GitRepository(path: home.gitDirectory(project.id))
            // The binary may have moved since the hooks were written.
            try PushHooks(home: home).install(in: repository, project: project.id)
            let known = try catalogue.environments(in: project.id)
            for (branch, commit) in try repository.branches() {
                guard known.first(where: { $0.name == branch })?.headCommit != commit else { continue }
                _ = try desk.submit(.push(project.id, branch: branch, commit: commit), by: nil)
            }
        }
    }

    /// Whoever can reach the socket is the installation's operator.
    private func pusher() throws -> User? { try catalogue.users().first { $0.isOperator } }
}

/// One connection of a hook.
final class PushSession: ControlSession {
    private let receiver: PushReceiver

    init(receiver: PushReceiver) { self.receiver = receiver }

    func handle(_ frame: Data) throws -> Data {
        try Control.encode(try receiver.receive(try Control.decode(PushMessage.self, from: frame)))
    }

    func connectionClosed() {}
}
