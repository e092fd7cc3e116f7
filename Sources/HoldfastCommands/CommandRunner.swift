import ArgumentParser
import Foundation
import HoldfastModel

/// Runs a command tree: parses, runs, says what failed, and gives the status to end with.
package enum CommandRunner {
    /// - Parameter arguments: without the program's name.
    package static func run<Root: ParsableCommand>(_ root: Root.Type, _ arguments: [String]) async -> ExitStatus {
        let output = Surroundings.current.output
        do {
            var command = try root.parseAsRoot(arguments)
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            return .success
        } catch {
            return report(error, of: root, to: output)
        }
    }

    /// Says on standard error what went wrong; help that was asked for goes to standard output.
    private static func report<Root: ParsableCommand>(
        _ error: any Error, of root: Root.Type, to output: Output
    ) -> ExitStatus {
        if let failure = error as? CommandFailure {
            if let reason = failure.error { output.error(text(of: reason)) }
            return failure.status
        }
        if let failure = error as? HoldfastError {
            output.error(text(of: failure))
            return ExitStatus(of: failure)
        }
        if error is CancellationError { return .interrupted }
        let message = root.fullMessage(for: error)
        if root.exitCode(for: error).isSuccess {
            output.out(message.hasSuffix("\n") ? message : message + "\n")
            return .success
        }
        output.error(message)
        return .failure
    }

    /// The message, and the hint on a line of its own.
    package static func text(of error: HoldfastError) -> String {
        var text = "Error: \(PlainText.lines(error.message))"
        if let hint = error.hint { text += "\n\(PlainText.lines(hint))." }
        return text
    }
}
