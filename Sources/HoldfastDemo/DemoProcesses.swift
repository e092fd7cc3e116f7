import Foundation
import HoldfastModel

extension DemoHouse {
    private var surroundings: [String: String] {
        var variables = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("HOLDFAST_") }
        variables["HOLDFAST_HOME"] = options.home
        return variables
    }

    /// Runs a verb with its output going where ours goes.
    func run(_ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: options.binary)
        process.arguments = arguments
        process.environment = surroundings
        process.standardInput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        try Self.check(process, arguments, output: "")
    }

    /// `run` on a thread of its own, so that a load can go on meanwhile.
    func runAside(_ arguments: [String]) async throws { try await aside { [self] in try run(arguments) } }

    /// Does what blocks on a thread of its own.
    func aside<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            let thread = Thread { continuation.resume(with: Result { try work() }) }
            thread.name = "verb"
            thread.start()
        }
    }

    /// Runs a verb and returns its standard output.
    @discardableResult
    func quiet(_ arguments: [String]) throws -> String {
        try Self.capture(options.binary, arguments, environment: surroundings)
    }

    func git(_ arguments: [String]) throws {
        var variables = surroundings.filter { !$0.key.hasPrefix("GIT_") }
        for (role, name) in [("AUTHOR", "Ledger"), ("COMMITTER", "Ledger")] {
            variables["GIT_\(role)_NAME"] = name
            variables["GIT_\(role)_EMAIL"] = "ledger@example.org"
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/git")
        process.arguments = ["-C", "\(options.home)/checkout"] + arguments
        process.environment = variables
        process.standardInput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        try Self.check(process, ["git"] + arguments, output: "")
    }

    /// Runs a program to its end; the error carries the end of what it said.
    static func capture(_ program: String, _ arguments: [String], environment: [String: String]?) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        if let environment {
            process.environment = ["PATH": "/usr/bin:/bin", "HOME": NSHomeDirectory()].merging(environment) { $1 }
        }
        let output = Pipe()
        let errors = Pipe()
        process.standardOutput = output
        process.standardError = errors
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let collected = Collected()
        let reader = Thread { collected.finish(errors.fileHandleForReading.readDataToEndOfFile()) }
        reader.start()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        let said = String(decoding: collected.wait(), as: UTF8.self)
        try check(process, [(program as NSString).lastPathComponent] + arguments, output: text + said)
        return text
    }

    private static func check(_ process: Process, _ arguments: [String], output: String) throws {
        guard process.terminationStatus == 0 else {
            let end = output.suffix(600).trimmingCharacters(in: .whitespacesAndNewlines)
            throw HoldfastError(
                .unavailable,
                "'\(arguments.prefix(4).joined(separator: " "))' ended with \(process.terminationStatus)"
                    + (end.isEmpty ? "" : ": \(end)"))
        }
    }

    func tail(_ file: String) -> String {
        let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").suffix(5).joined(separator: " | ")
    }
}

/// Bytes that a thread reads for another.
private final class Collected: @unchecked Sendable {
    // Written before the signal, read after it.
    private var data = Data()
    private let done = DispatchSemaphore(value: 0)

    func finish(_ data: Data) {
        self.data = data
        done.signal()
    }

    func wait() -> Data {
        done.wait()
        return data
    }
}

/// A loopback port that nobody listens on now.
enum FreePort {
    static func find() throws -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw HoldfastError(.system, "cannot make a socket (errno \(errno))") }
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
                bind(descriptor, raw, length) == 0 && getsockname(descriptor, raw, &length) == 0
            }
        }
        guard bound else { throw HoldfastError(.system, "no free port on 127.0.0.1 (errno \(errno))") }
        return Int(UInt16(bigEndian: address.sin_port))
    }
}
