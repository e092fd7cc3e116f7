// HoldfastRepositoryCommands: `holdfast repository …`, for anyone with a restic repository and no Holdfast server.
//
// Verbs, options, environment variables and exit statuses are restic's, so that habits carry over; what differs is in
// docs/repository-verbs.md. A verb is one file: it parses, calls HoldfastRepository, and shows what came back.

import ArgumentParser
import Foundation
import HoldfastCommands
import HoldfastModel

/// `holdfast repository`.
package struct RepositoryVerb: ParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "repository",
        abstract: "Works on any restic repository, without a server.",
        discussion: """
            Options, variables and exit statuses are restic's: RESTIC_REPOSITORY, RESTIC_REPOSITORY_FILE, \
            RESTIC_PASSWORD, RESTIC_PASSWORD_FILE and RESTIC_PASSWORD_COMMAND are read. Without any of them the \
            password is asked for.

            It ends with 0; 1 after a failure; 3 if something could not be read or restored; 10 if there is no \
            repository; 11 if it is locked; 12 if the password is wrong; 130 after an interruption.
            """,
        subcommands: [
            InitVerb.self, BackupVerb.self, SnapshotsVerb.self, ListVerb.self, FindVerb.self, StatsVerb.self,
            DiffVerb.self, DumpVerb.self, RestoreVerb.self, CheckVerb.self, ForgetVerb.self, PruneVerb.self,
            RepairVerb.self, CopyVerb.self, RekeyVerb.self, KeyVerb.self, UnlockVerb.self, CatVerb.self,
        ])

    package init() {}
}

/// How a verb ends, in numbers: restic's.
package enum RepositoryStatus: Int32, Sendable, CaseIterable {
    case success = 0
    case failure = 1
    /// Done, but something could not be read, restored or verified; all of it was named.
    case incomplete = 3
    case noRepository = 10
    case locked = 11
    case wrongPassword = 12
    case interrupted = 130

    /// The one place where a failure becomes a status.
    package init(of error: any Error) {
        switch error {
        case let end as VerbEnd: self = end.status
        case let error as HoldfastError:
            switch error.code {
            case .locked: self = .locked
            case .wrongPassword: self = .wrongPassword
            case .cancelled: self = .interrupted
            default: self = .failure
            }
        default: self = .failure
        }
    }
}

/// An end whose status does not follow from the kind of an error.
struct VerbEnd: Error {
    let status: RepositoryStatus
    /// Nil if everything was said already.
    var error: HoldfastError?

    init(_ status: RepositoryStatus, _ error: HoldfastError? = nil) {
        self.status = status
        self.error = error
    }
}

/// Runs a command line that begins with `repository`. Blocks: it belongs on a thread of its own, such as the first one.
package enum RepositoryRunner {
    /// - Parameters:
    ///   - root: the tree that `repository` is in, for usage texts.
    ///   - arguments: without the program's name.
    package static func run<Root: ParsableCommand>(_ root: Root.Type, _ arguments: [String]) -> RepositoryStatus {
        let output = Surroundings.current.output
        do {
            var command = try root.parseAsRoot(arguments)
            try command.run()
            return .success
        } catch let error {
            if let end = error as? VerbEnd {
                if let reason = end.error { output.error(CommandRunner.text(of: reason)) }
                return end.status
            }
            if let failure = error as? HoldfastError {
                output.error(CommandRunner.text(of: failure))
                return RepositoryStatus(of: failure)
            }
            let message = root.fullMessage(for: error)
            if root.exitCode(for: error).isSuccess {
                output.out(message.hasSuffix("\n") ? message : message + "\n")
                return .success
            }
            output.error(message)
            return .failure
        }
    }
}
