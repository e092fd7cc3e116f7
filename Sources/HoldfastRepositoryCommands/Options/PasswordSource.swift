import Foundation
import Glibc
import HoldfastCommands
import HoldfastModel

/// Where a password comes from; never from an argument.
struct PasswordSource {
    /// Of the option; nil if it was not given.
    var file: String?
    var command: String?
    /// Names of the variables, without and with suffix, such as `RESTIC_PASSWORD`.
    var variables: (text: String, file: String, command: String)
    /// What is asked on a terminal.
    var prompt: String

    static func main(file: String?, command: String?) -> PasswordSource {
        PasswordSource(
            file: file, command: command,
            variables: ("RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD_COMMAND"),
            prompt: "password of the repository: ")
    }

    /// Options first, then variables, then the terminal, then standard input.
    ///
    /// - Parameter isNew: ask twice.
    func read(_ surroundings: Surroundings, isNew: Bool = false) throws -> Secret {
        if let file { return try Self.fromFile(surroundings.absolute(file)) }
        if let command { return try Self.fromCommand(command) }
        if let file = surroundings.variable(variables.file) { return try Self.fromFile(surroundings.absolute(file)) }
        if let command = surroundings.variable(variables.command) { return try Self.fromCommand(command) }
        if let text = surroundings.variable(variables.text) { return try Self.checked(Secret(text)) }
        return try Self.ask(surroundings, prompt, isNew: isNew)
    }

    static func ask(_ surroundings: Surroundings, _ prompt: String, isNew: Bool) throws -> Secret {
        if surroundings.output.canAsk {
            surroundings.output.errorPart(prompt)
            guard let text = HiddenInput.readLine(surroundings.output) else { throw missing }
            if isNew {
                surroundings.output.errorPart("the same again: ")
                guard HiddenInput.readLine(surroundings.output) == text else {
                    throw HoldfastError(.invalidInput, "the two passwords are not the same", hint: "Try it again")
                }
            }
            return try checked(Secret(text))
        }
        guard let text = surroundings.output.readLine() else { throw missing }
        return try checked(Secret(text))
    }

    private static var missing: HoldfastError {
        HoldfastError(
            .invalidInput, "there is no password",
            hint: "Set RESTIC_PASSWORD_FILE, RESTIC_PASSWORD_COMMAND or RESTIC_PASSWORD, or use a terminal")
    }

    private static func checked(_ password: Secret) throws -> Secret {
        guard !password.reveal().isEmpty else { throw HoldfastError(.invalidInput, "the password is empty") }
        return password
    }

    static func fromFile(_ path: String) throws -> Secret {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw HoldfastError(.notFound, "the password file \(path) cannot be read")
        }
        return try checked(Secret(trimmed(data)))
    }

    /// Runs the user's own command, without a shell, and takes what it writes.
    static func fromCommand(_ command: String) throws -> Secret {
        let words = try words(of: command)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["--"] + words
        let pipe = Pipe()
        process.standardOutput = pipe
        do { try process.run() } catch {
            throw HoldfastError(.system, "the password command cannot be started", cause: error)
        }
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationReason == .exit, process.terminationStatus == 0 else {
            throw HoldfastError(.system, "the password command ended with status \(process.terminationStatus)")
        }
        return try checked(Secret(trimmed(data)))
    }

    /// Without the end of the line.
    private static func trimmed(_ data: Data) -> String {
        var bytes = [UInt8](data)
        while let last = bytes.last, last == 10 || last == 13 { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Words as a shell takes them apart: blanks, quotes and backslashes; nothing is expanded.
    static func words(of command: String) throws -> [String] {
        var words: [String] = []
        var word: String?
        var quote: Character?
        var isEscaped = false
        for character in command {
            if isEscaped {
                word = (word ?? "") + String(character)
                isEscaped = false
            } else if character == "\\", quote != "'" {
                isEscaped = true
            } else if let open = quote {
                if character == open { quote = nil } else { word = (word ?? "") + String(character) }
            } else if character == "'" || character == "\"" {
                quote = character
                word = word ?? ""
            } else if character == " " || character == "\t" || character == "\n" {
                if let done = word { words.append(done) }
                word = nil
            } else {
                word = (word ?? "") + String(character)
            }
        }
        if let word { words.append(word) }
        guard quote == nil, !isEscaped, !words.isEmpty else {
            throw HoldfastError(.invalidInput, "the password command is not complete", hint: "Close its quotes")
        }
        return words
    }
}

/// A line from the terminal that is not shown.
enum HiddenInput {
    static func readLine(_ output: Output) -> String? {
        var settings = termios()
        let isTerminal = tcgetattr(STDIN_FILENO, &settings) == 0
        if isTerminal {
            var hidden = settings
            hidden.c_lflag &= ~tcflag_t(ECHO)
            tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden)
        }
        defer {
            if isTerminal {
                tcsetattr(STDIN_FILENO, TCSAFLUSH, &settings)
                output.errorPart("\n")
            }
        }
        return output.readLine()
    }

    /// Makes the terminal show what is typed again; called when the process is interrupted while it asks.
    static func showAgain() {
        var settings = termios()
        guard tcgetattr(STDIN_FILENO, &settings) == 0, settings.c_lflag & tcflag_t(ECHO) == 0 else { return }
        settings.c_lflag |= tcflag_t(ECHO)
        tcsetattr(STDIN_FILENO, TCSANOW, &settings)
    }
}

/// What an interruption does: it leaves neither a lock nor a silent terminal.
package enum VerbInterruption {
    package static func tidyUp() {
        HiddenInput.showAgain()
        OpenStores.releaseLocks()
    }
}
