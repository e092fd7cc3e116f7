import Foundation
import Glibc
import HoldfastModel
import HoldfastTestSupport
import Testing

/// How long tests with chance in them go on: `HOLDFAST_LONG_TESTS=1` asks for the long versions.
enum Patience {
    static let isLong = ProcessInfo.processInfo.environment["HOLDFAST_LONG_TESTS"] == "1"
    static func rounds(_ short: Int, long: Int) -> Int { isLong ? long : short }
}

/// A process with the engine in it: `HoldfastProof`, which is built beside the tests.
final class ProofProcess {
    private let process = Process()
    private let directory: ScratchFolder
    private let input = Pipe()

    convenience init(_ arguments: String...) throws { try self.init(arguments) }

    init(_ arguments: [String]) throws {
        directory = try ScratchFolder()
        let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let path = URL(fileURLWithPath: tests).deletingLastPathComponent().path + "/HoldfastProof"
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        var environment = ProcessInfo.processInfo.environment
        environment["HOLDFAST_PROOF_PASSWORD"] = TestRepository.password.reveal()
        process.environment = environment
        for name in ["out", "err"] { try writeFile(directory(name), "") }
        process.standardInput = input
        process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: directory("out")))
        process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: directory("err")))
        try process.run()
    }

    deinit { kill() }

    /// `kill -9`, and waits for the end.
    func kill() {
        if process.isRunning { Glibc.kill(process.processIdentifier, SIGKILL) }
        process.waitUntilExit()
    }

    /// Ends the input, which ends a process that holds a lock.
    func endInput() { try? input.fileHandleForWriting.close() }

    var isRunning: Bool { process.isRunning }
    var identifier: Int32 { process.processIdentifier }
    var output: String { (try? String(contentsOfFile: directory("out"), encoding: .utf8)) ?? "" }
    var errors: String { (try? String(contentsOfFile: directory("err"), encoding: .utf8)) ?? "" }

    /// Waits until it says something, or ends.
    func waitForOutput() {
        while output.isEmpty && process.isRunning { usleep(5000) }
    }

    /// Its exit status; negative for a signal.
    func wait() -> Int32 {
        process.waitUntilExit()
        return process.terminationReason == .uncaughtSignal ? -process.terminationStatus : process.terminationStatus
    }

    /// Runs one to its end, and expects that it succeeds.
    @discardableResult
    static func expect(
        _ verb: String, _ root: String, _ more: String..., sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> String {
        let process = try ProofProcess([verb, root] + more)
        let status = process.wait()
        #expect(status == 0, "\(verb): \(process.output)\(process.errors)", sourceLocation: sourceLocation)
        return process.output
    }
}
