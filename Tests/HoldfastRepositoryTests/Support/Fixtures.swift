import CHoldfastFiles
import Foundation
import Glibc
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

/// The machine's clocks, a minute ahead: for files that shall look as if they had been still for a while.
struct LaterTime: TimeSource {
    var seconds: Double = 60
    func now() -> Date { SystemTime().now().addingTimeInterval(seconds) }
    func monotonicNanoseconds() -> UInt64 { SystemTime().monotonicNanoseconds() }
}

/// A repository in a directory, opened by us and by restic with the same password.
struct TestRepository {
    static let password = Secret("correct horse battery staple")
    let directory: ScratchFolder
    let path: String
    let store: FileBlobStore
    let repository: Repository

    init(_ directory: ScratchFolder, name: String = "repository", time: any TimeSource = LaterTime()) throws {
        self.directory = directory
        path = directory(name)
        store = try FileBlobStore.create(root: path)
        repository = try Repository.create(store: store, password: Self.password, time: time)
    }

    /// Opens a copy of this repository, in place of an earlier one of that name.
    func copied(_ name: String) throws -> TestRepository {
        try? FileManager.default.removeItem(atPath: directory(name))
        try FileManager.default.copyItem(atPath: path, toPath: directory(name))
        return try TestRepository(opening: name, in: directory)
    }

    private init(opening name: String, in directory: ScratchFolder) throws {
        self.directory = directory
        path = directory(name)
        store = FileBlobStore(root: path)
        repository = try Repository.open(store: store, password: Self.password, time: LaterTime())
    }

    var restic: Restic { Restic(repository: path, password: Self.password.reveal()) }

    /// Backs a directory up as `/data`.
    @discardableResult
    func backUp(
        _ source: String, parent: SnapshotID? = nil, in repository: Repository? = nil
    ) throws -> (finished: FinishedBackup, captured: CaptureStatistics) {
        let session = try (repository ?? self.repository).beginBackup(BackupOptions(parent: parent))
        defer { session.abandon() }
        let captured = try session.capture(source, as: "/data")
        return (try session.finish(Self.info()), captured)
    }

    static func info(_ tags: [String] = ["test"]) -> SnapshotInfo {
        SnapshotInfo(time: LaterTime().now(), hostname: "project", tags: tags, paths: ["/"])
    }

    func restore(_ id: SnapshotID, path: String = "/data", to name: String) throws -> RestoreReport {
        try repository.restore(TreePath(id, path: path), to: directory(name))
    }
}

/// The judge.
struct Restic {
    struct Outcome {
        let status: Int32
        let output: String
        let errors: String
    }

    let repository: String
    let password: String

    func run(_ arguments: String...) throws -> Outcome { try run(arguments) }

    func run(_ arguments: [String]) throws -> Outcome {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/restic")
        process.arguments = ["--no-cache", "-r", repository] + arguments
        var environment = ProcessInfo.processInfo.environment
        environment["RESTIC_PASSWORD"] = password
        process.environment = environment
        let output = try ScratchFolder()
        for name in ["out", "err"] { try writeFile(output(name), "") }
        process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: output("out")))
        process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: output("err")))
        try process.run()
        process.waitUntilExit()
        return Outcome(
            status: process.terminationStatus,
            output: (try? String(contentsOfFile: output("out"), encoding: .utf8)) ?? "",
            errors: (try? String(contentsOfFile: output("err"), encoding: .utf8)) ?? "")
    }

    /// Runs restic, and fails the test if restic is not content.
    @discardableResult
    func expect(_ arguments: String..., sourceLocation: SourceLocation = #_sourceLocation) throws -> String {
        let outcome = try run(arguments)
        #expect(
            outcome.status == 0, "restic \(arguments.joined(separator: " ")): \(outcome.output)\(outcome.errors)",
            sourceLocation: sourceLocation)
        return outcome.output
    }

    func check(sourceLocation: SourceLocation = #_sourceLocation) throws {
        let output = try expect("check", "--read-data", sourceLocation: sourceLocation)
        #expect(output.contains("no errors were found"), sourceLocation: sourceLocation)
    }
}

func writeFile(_ path: String, _ bytes: [UInt8]) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    guard descriptor >= 0 else { throw HoldfastError(.system, "cannot write \(path)") }
    defer { close(descriptor) }
    var written = 0
    while written < bytes.count {
        let count = bytes.withUnsafeBytes { bytes in
            write(descriptor, bytes.baseAddress.map { $0 + written }, bytes.count - written)
        }
        guard count > 0 else { throw HoldfastError(.system, "cannot write \(path)") }
        written += count
    }
}

func writeFile(_ path: String, _ text: String) throws { try writeFile(path, Array(text.utf8)) }

func makeDirectory(_ path: String) throws {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
}

/// Calls `body` with a path whose last name may be any bytes.
func withPath<Result>(_ directory: String, _ name: [UInt8], _ body: (UnsafePointer<CChar>) -> Result) -> Result {
    let path = (Array(directory.utf8) + [47] + name + [0]).map { CChar(bitPattern: $0) }
    return path.withUnsafeBufferPointer { buffer in
        guard let base = buffer.baseAddress else { return "".withCString(body) }
        return body(base)
    }
}
