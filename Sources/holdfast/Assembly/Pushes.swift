import Foundation
import HoldfastBackup
import HoldfastCatalogue
import HoldfastControl
import HoldfastEnvironments
import HoldfastModel
import HoldfastServer
import Logging

/// What a receive hook asks `serve`.
enum PushQuestion: Codable, Sendable {
    /// Answered by an empty `PushVerdict`, or by an error that says why not.
    case judge(PushJudgement)
    /// Answered by a `PushAnswer`.
    case deploy(PushMessage)
}

/// May somebody who pushes over HTTP push these references?
struct PushJudgement: Codable, Sendable {
    var project: ProjectID
    var references: [String]
    var pusher: Pusher
}

/// Yes.
struct PushVerdict: Codable, Sendable {}

/// One branch has moved.
struct PushMessage: Codable, Sendable {
    var project: ProjectID
    var branch: String
    var commit: String
    /// Who pushed over HTTP; nil: whoever has an account on the machine, which is an operator.
    var user: UserID?
}

/// The answer: which activity deploys it.
struct PushAnswer: Codable, Sendable {
    var activity: ActivityID
}

/// Whoever pushes over HTTP. Only the server sets these variables, for its own Git: no environment is inherited there.
struct Pusher: Codable, Sendable {
    static let userVariable = "HOLDFAST_PUSH_USER"
    static let tokenVariable = "HOLDFAST_PUSH_TOKEN"

    var user: UserID
    /// The token that was shown: it may allow less than its user may do.
    var token: TokenID

    /// Reads a hook's environment; nil for a push by path.
    ///
    /// - Throws: `forbidden` if the variables are not what the server writes.
    static func read(_ environment: [String: String]) throws -> Pusher? {
        let (user, token) = (environment[userVariable], environment[tokenVariable])
        if user == nil, token == nil { return nil }
        guard let user = user.flatMap({ UserID($0) }), let token = token.flatMap({ TokenID($0) }) else {
            throw HoldfastError(
                .forbidden, "it is not known who pushes",
                hint: "Unset \(userVariable) and \(tokenVariable) for a push by path")
        }
        return Pusher(user: user, token: token)
    }
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
    let time: any TimeSource
    private let logger = Logger(label: "holdfast.pushes")

    init(catalogue: Catalogue, desk: ActivityDesk, home: StateDirectory, time: any TimeSource) {
        self.catalogue = catalogue
        self.desk = desk
        self.home = home
        self.time = time
    }

    func receive(_ message: PushMessage) throws -> PushAnswer {
        let user = try message.user.map { try catalogue.user($0) } ?? localPusher()
        if message.user == nil { try record(message, by: user) }
        let activity = try desk.submit(.push(message.project, branch: message.branch, commit: message.commit), by: user)
        try HandledPushes(home: home, project: message.project).note(message.branch, message.commit)
        return PushAnswer(activity: activity.id)
    }

    /// Every reference is audited, with what came out.
    func judge(_ question: PushJudgement) throws -> PushVerdict {
        try GitAccess(catalogue: catalogue, time: time).judge(
            push: question.references, to: question.project, by: question.pusher.user, token: question.pusher.token)
        return PushVerdict()
    }

    /// A push by path has not been judged, and so is not on record yet.
    private func record(_ message: PushMessage, by user: User?) throws {
        var entry = AuditEntry(
            at: time.now(), session: nil, action: ActivityType.push.rawValue, on: (message.project, message.branch),
            result: .allowed, detail: "by path")
        entry.user = user?.id
        try catalogue.audit(entry)
    }

    /// Compares the branches with what is known of them. A project whose repository cannot be read is reported, and
    /// keeps nobody from the others, nor from restoring its own environments.
    func catchUp() throws {
        for project in try catalogue.projects() {
            do {
                try catchUp(project)
            } catch {
                logger.error(
                    "the pushes to a project cannot be looked at",
                    metadata: ["project": "\(project.id)", "error": "\(error)"])
            }
        }
    }

    private func catchUp(_ project: Project) throws {
        let directory = home.gitDirectory(project.id)
        let repository = try repository(at: directory, of: project)
        // The binary may have moved since the hooks were written.
        try PushHooks(home: home).install(in: repository, project: project.id)
        let known = try catalogue.environments(in: project.id)
        let pushes = HandledPushes(home: home, project: project.id)
        let handled = try pushes.read()
        for (branch, commit) in try repository.branches() {
            guard known.first(where: { $0.name == branch })?.headCommit != commit, handled[branch] != commit else {
                continue
            }
            _ = try desk.submit(.push(project.id, branch: branch, commit: commit), by: nil)
            try pushes.note(branch, commit)
        }
    }

    /// A crash while the project was made may have left it without a repository; it had nothing in it then.
    private func repository(at directory: String, of project: Project) throws -> GitRepository {
        if FileManager.default.fileExists(atPath: directory) { return GitRepository(path: directory) }
        guard try catalogue.environments(in: project.id).isEmpty else {
            throw HoldfastError(
                .notFound, "the Git repository \(directory) is gone",
                hint: "Put it back from a copy, or fetch the commits from a backup's bundle")
        }
        return try GitRepository.create(path: directory, defaultBranch: project.defaultBranch)
    }

    /// Whoever can reach the socket is the installation's operator.
    private func localPusher() throws -> User? { try catalogue.users().first { $0.isOperator } }
}

/// One connection of a hook.
final class PushSession: ControlSession {
    private let receiver: PushReceiver

    init(receiver: PushReceiver) { self.receiver = receiver }

    func handle(_ frame: Data) throws -> Data {
        switch try Control.decode(PushQuestion.self, from: frame) {
        case .judge(let question): try Control.encode(try receiver.judge(question))
        case .deploy(let message): try Control.encode(try receiver.receive(message))
        }
    }

    func connectionClosed() {}
}
