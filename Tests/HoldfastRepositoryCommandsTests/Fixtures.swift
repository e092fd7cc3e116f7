import ArgumentParser
import Foundation
import Glibc
import HoldfastBlobStore
import HoldfastCommands
import HoldfastModel
import HoldfastRepository
import HoldfastRepositoryCommands
import HoldfastTestSupport
import Synchronization
import Testing

/// The tree as the executable has it.
struct TestRoot: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "holdfast", subcommands: [RepositoryVerb.self])
}

extension ScratchFolder {
    /// Makes a file with all directories above it.
    @discardableResult
    func write(_ name: String, _ text: String) throws -> String {
        try FileManager.default.createDirectory(
            atPath: (self(name) as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try Data(text.utf8).write(to: URL(fileURLWithPath: self(name)))
        return self(name)
    }

    func read(_ name: String) -> String? { try? String(contentsOfFile: self(name), encoding: .utf8) }
    func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: self(name)) }
}

struct Outcome: Sendable {
    var status: Int32
    var out: String
    var error: String

    var json: Any? { try? JSONSerialization.jsonObject(with: Data(out.utf8), options: .fragmentsAllowed) }
    /// One value for each line.
    var jsonLines: [NSDictionary] {
        out.split(separator: "\n").compactMap {
            (try? JSONSerialization.jsonObject(with: Data($0.utf8))) as? NSDictionary
        }
    }
}

/// Texts that a command reads and writes.
final class Texts: Sendable {
    private let state: Mutex<(out: String, error: String, answers: [String])>
    init(_ answers: [String]) { state = Mutex((out: "", error: "", answers: answers)) }
    var out: String { state.withLock { $0.out } }
    var error: String { state.withLock { $0.error } }
    func add(out text: String) { state.withLock { $0.out += text } }
    func add(error text: String) { state.withLock { $0.error += text } }
    func answer() -> String? { state.withLock { $0.answers.isEmpty ? nil : $0.answers.removeFirst() } }
}

/// Runs a verb in this process.
func holdfast(
    _ arguments: [String], _ variables: [String: String] = [:], answers: [String] = [], canAsk: Bool = false,
    isLive: Bool = false, time: any TimeSource = SystemTime()
) -> Outcome {
    let texts = Texts(answers)
    let output = Output(
        out: { texts.add(out: $0) }, error: { texts.add(error: $0) }, read: { texts.answer() }, isLive: isLive,
        canAsk: canAsk)
    let surroundings = Surroundings(
        variables: variables, directory: "/", isRoot: false, output: output, time: time,
        timeZone: TimeZone(secondsFromGMT: 0) ?? .gmt)
    let status = Surroundings.$current.withValue(surroundings) {
        RepositoryRunner.run(TestRoot.self, ["repository"] + arguments)
    }
    return Outcome(status: status.rawValue, out: texts.out, error: texts.error)
}

/// Runs a program, and waits for it.
func run(
    _ program: String, _ arguments: [String], _ variables: [String: String] = [:], input: Data? = nil,
    directory: String = "/"
) throws -> Outcome {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    process.currentDirectoryURL = URL(fileURLWithPath: directory)
    process.environment = ProcessInfo.processInfo.environment.merging(variables) { $1 }
    let place = try ScratchFolder()
    try place.write("out", "")
    try place.write("error", "")
    try (input ?? Data()).write(to: URL(fileURLWithPath: place("in")))
    process.standardInput = try FileHandle(forReadingFrom: URL(fileURLWithPath: place("in")))
    process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: place("out")))
    process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: place("error")))
    try process.run()
    process.waitUntilExit()
    return Outcome(status: process.terminationStatus, out: place.read("out") ?? "", error: place.read("error") ?? "")
}

/// A repository that both programs work on.
struct Both {
    let place: ScratchFolder
    let path: String
    var password = "secret"
    static let binary = ProcessInfo.processInfo.environment["HOLDFAST_BINARY"] ?? ".build/release/holdfast"

    /// A copy of another one, beside it.
    init(_ name: String, from other: Both) throws {
        place = other.place
        path = place(name)
        password = other.password
        try FileManager.default.copyItem(atPath: other.path, toPath: path)
    }

    var variables: [String: String] { ["RESTIC_REPOSITORY": path, "RESTIC_PASSWORD": password] }

    /// Who makes a repository, which decides what it costs to try its password.
    enum Maker {
        /// The engine, with a cost that nobody has to wait for: both programs open it hundreds of times.
        case engine
        /// restic, with the cost that it gives its users.
        case restic
    }

    init(_ name: String = "repository", place: ScratchFolder? = nil, madeBy maker: Maker = .engine) throws {
        self.place = try place ?? ScratchFolder()
        path = self.place(name)
        switch maker {
        case .engine:
            _ = try Repository.create(
                store: FileBlobStore.create(root: path), password: Secret(password), scrypt: .randomPassword)
        case .restic: try restic("init")
        }
    }

    func ours(_ arguments: String...) -> Outcome { holdfast(arguments, variables) }

    /// Ours, and fails the test if it does not succeed.
    @discardableResult
    func expect(_ arguments: String..., sourceLocation: SourceLocation = #_sourceLocation) -> Outcome {
        let outcome = holdfast(arguments, variables)
        #expect(outcome.status == 0, "\(arguments): \(outcome.out)\(outcome.error)", sourceLocation: sourceLocation)
        return outcome
    }

    func binary(_ arguments: String..., input: Data? = nil, directory: String = "/") throws -> Outcome {
        try run(Self.binary, ["repository"] + arguments, variables, input: input, directory: directory)
    }

    func tryRestic(_ arguments: [String]) throws -> Outcome {
        try run("/usr/bin/restic", ["--no-cache"] + arguments, variables)
    }

    @discardableResult
    func restic(_ arguments: String..., sourceLocation: SourceLocation = #_sourceLocation) throws -> Outcome {
        let outcome = try tryRestic(arguments)
        #expect(outcome.status == 0, "restic \(arguments): \(outcome.error)", sourceLocation: sourceLocation)
        return outcome
    }

    /// Ids of all snapshots, oldest first.
    func snapshots() -> [String] {
        let list = expect("snapshots", "--json").json as? [NSDictionary] ?? []
        return list.compactMap { $0["id"] as? String }
    }

    /// Two snapshots of one directory with changes of all kinds between them, and one of another host; by restic.
    static func filled(madeBy maker: Maker = .engine) throws -> Both {
        let both = try Both(madeBy: maker)
        let place = both.place
        try place.write("data/a", "hello\n")
        try place.write("data/sub/b", "x\n")
        try place.write("data/gone/c", "x\n")
        try place.write("data/gone/inner/d", "deep\n")
        try place.write("data/kind", "was a file")
        try place.write("data/odd \u{e9} name", "odd")
        try place.write("data/big", (0..<60_000).map { "\($0)\n" }.joined())
        link(place("data/a"), place("data/hard"))
        symlink("a", place("data/link"))
        mkfifo(place("data/pipe"), 0o640)
        chmod(place("data/a"), 0o4755)
        try both.restic("backup", place("data"), "--tag", "x,y")
        try FileManager.default.removeItem(atPath: place("data/gone"))
        unlink(place("data/kind"))
        mkdir(place("data/kind"), 0o700)
        try place.write("data/kind/now", "a directory")
        try place.write("data/a", "hello\nmore\n")
        try place.write("data/new/file", "new")
        chmod(place("data/sub/b"), 0o600)
        try both.restic("backup", place("data"), "--tag", "z")
        try both.restic("backup", place("data/sub"), "--host", "other")
        return both
    }
}

func normal(_ value: Any?) -> NSObject? { value as? NSObject }

/// A clock that does something when it is looked at, until that has succeeded.
final class MeddlingTime: TimeSource {
    private let ahead: Double
    private let meddle: @Sendable () throws -> Bool
    private let state = Mutex((isBusy: false, isDone: false))

    init(ahead: Double = 0, _ meddle: @escaping @Sendable () throws -> Bool = { true }) {
        self.ahead = ahead
        self.meddle = meddle
    }

    /// Takes the lock of whoever holds it for stale, as a machine does whose clock is two hours ahead.
    static func stealing(from both: Both) -> MeddlingTime {
        let store = FileBlobStore(root: both.path)
        let password = Secret(both.password)
        return MeddlingTime {
            if try store.list(.lock).isEmpty { return false }
            try Repository.open(store: store, password: password, time: MeddlingTime(ahead: 7200)).whileAlone { _ in }
            return true
        }
    }

    var hasMeddled: Bool { state.withLock { $0.isDone } }

    func now() -> Date {
        let isDue = state.withLock { state in
            defer { state.isBusy = true }
            return !state.isBusy && !state.isDone
        }
        if isDue {
            let isDone = (try? meddle()) ?? false
            state.withLock { $0 = (false, isDone) }
        }
        return SystemTime().now().addingTimeInterval(ahead)
    }

    func monotonicNanoseconds() -> UInt64 { SystemTime().monotonicNanoseconds() }
}
