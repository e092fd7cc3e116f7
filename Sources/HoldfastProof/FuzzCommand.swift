import Foundation
import Glibc
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository

/// `HoldfastProof fuzz [--seconds N] [--count N] [--seed N] [--keep FOLDER] [--form NAME]`
///
/// Feeds random and mutated bytes to the parsers of everything stored. The input at hand always lies in a mapped file
/// in the folder, `current-<form>`, so that it survives a crash of this process. Exit status: 0; 2 if an input was
/// answered with an unexpected error or more than `residentLimit` was used; 3 if one took longer than `hangSeconds`; a
/// signal if one crashed the parser.
struct FuzzCommand {
    private static let hangSeconds = 20
    /// Of address space: what a hostile length would have to allocate fails here.
    private static let memoryLimit: rlim_t = 4 << 30
    /// Of memory in use, in KiB.
    private static let residentLimit = 700 << 10

    private var seconds: UInt64?
    private var count: Int?
    private var seed = UInt64.random(in: 0...UInt64.max)
    private var folder = "fuzz-findings"
    private var forms = StoredForm.allCases

    static func run(_ arguments: [String]) throws -> Int32 {
        var command = FuzzCommand()
        var rest = arguments[...]
        while let option = rest.popFirst() {
            guard let value = rest.popFirst() else { throw HoldfastError(.invalidInput, "\(option) needs a value") }
            switch option {
            case "--seconds": command.seconds = UInt64(value)
            case "--count": command.count = Int(value)
            case "--seed": command.seed = UInt64(value) ?? command.seed
            case "--keep": command.folder = value
            case "--form": command.forms = StoredForm.allCases.filter { $0.rawValue == value }
            default: throw HoldfastError(.invalidInput, "\(option) is no option of fuzz")
            }
        }
        return try command.run()
    }

    private func run() throws -> Int32 {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        var limit = rlimit(rlim_cur: Self.memoryLimit, rlim_max: Self.memoryLimit)
        setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
        EngineCommand.say("seed \(seed)")
        let samples = try Samples.make(forms)
        let slot = try Slot(folder: folder)
        slot.watch(seconds: Self.hangSeconds)
        var mutator = Mutator(seed: seed)
        let clock = SystemTime()
        let start = clock.monotonicNanoseconds()
        let deadline = seconds.map { start + $0 * 1_000_000_000 } ?? .max
        var done: [StoredForm: (all: Int, accepted: Int)] = [:]
        var total = 0
        var findings = 0
        while total < count ?? .max, total % 256 != 0 || clock.monotonicNanoseconds() < deadline {
            for form in forms {
                let input = mutator.input(samples[form] ?? [], isBinary: form == .packHeader || form == .compressed)
                slot.hold(input, form)
                let outcome = Self.outcome(of: input, form)
                done[form, default: (0, 0)].all += 1
                if outcome == nil { done[form, default: (0, 0)].accepted += 1 }
                if case .unexpected(let text)? = outcome {
                    findings += 1
                    EngineCommand.say("\(form): unexpected: \(text)")
                    try Data(input).write(to: URL(fileURLWithPath: "\(folder)/\(form)-\(findings)"))
                }
                total += 1
            }
        }
        let elapsed = Double(clock.monotonicNanoseconds() - start) / 1e9
        for (form, counts) in done.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            EngineCommand.say("\(form): \(counts.all) inputs, \(counts.accepted) accepted")
        }
        let peak = try Self.peakMemory()
        EngineCommand.say("\(total) inputs in \(Int(elapsed)) s, \(findings) findings, \(peak >> 10) MiB")
        if peak > Self.residentLimit { EngineCommand.say("more than \(Self.residentLimit >> 10) MiB were used") }
        slot.remove()
        return findings == 0 && peak <= Self.residentLimit ? 0 : 2
    }

    /// Of this program, in KiB. What `getrusage` says is at least the peak of the process that started this one.
    private static func peakMemory() throws -> Int {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        guard let peak = line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap({ Int($0) }) else {
            throw HoldfastError(.system, "/proc/self/status has no VmHWM")
        }
        return peak
    }

    private enum Outcome {
        case refused
        case unexpected(String)
    }

    /// Nil if the input was accepted.
    private static func outcome(of input: [UInt8], _ form: StoredForm) -> Outcome? {
        do {
            try form.parse(input)
            return nil
        } catch let error as HoldfastError where error.code == .damaged || error.code == .unsupported {
            return .refused
        } catch {
            return .unexpected("\(error)")
        }
    }
}

/// The input at hand, in a mapped file.
///
/// `@unchecked`: the watching thread only reads the counter, which may be old.
private final class Slot: @unchecked Sendable {
    private static let size = 4 << 20
    private let path: String
    private let memory: UnsafeMutableRawPointer
    private let counter: UnsafeMutablePointer<Int>

    init(folder: String) throws {
        path = "\(folder)/current"
        let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
        guard descriptor >= 0, ftruncate(descriptor, off_t(Self.size)) == 0,
            let memory = mmap(nil, Self.size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), memory != MAP_FAILED
        else { throw HoldfastError(.system, "cannot map \(path)") }
        close(descriptor)
        self.memory = memory
        counter = .allocate(capacity: 1)
        counter.initialize(to: 0)
    }

    /// Layout: number of the input, its length, 16 bytes with the form's name, the input.
    func hold(_ input: [UInt8], _ form: StoredForm) {
        counter.pointee += 1
        let length = min(input.count, Self.size - 32)
        memory.storeBytes(of: counter.pointee, as: Int.self)
        memory.storeBytes(of: length, toByteOffset: 8, as: Int.self)
        var name = Array(form.rawValue.utf8.prefix(16))
        name += [UInt8](repeating: 0, count: 16 - name.count)
        (memory + 16).copyMemory(from: name, byteCount: 16)
        (memory + 32).copyMemory(from: input, byteCount: length)
    }

    /// Ends the process if one input takes too long; the file tells which.
    func watch(seconds: Int) {
        Thread {
            var last = -1
            while true {
                Thread.sleep(forTimeInterval: TimeInterval(seconds))
                let now = self.memory.load(as: Int.self)
                if now == last {
                    FileHandle.standardError.write(Data("an input takes more than \(seconds) s\n".utf8))
                    exit(3)
                }
                last = now
            }
        }.start()
    }

    func remove() { unlink(path) }
}

/// Real bytes of each form, to begin with.
private enum Samples {
    static func make(_ forms: [StoredForm]) throws -> [StoredForm: [[UInt8]]] {
        let folder = NSTemporaryDirectory() + "/holdfast-fuzz-\(getpid())"
        try FileManager.default.createDirectory(atPath: folder + "/sub", withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for (name, size) in [("a", 0), ("b", 10), ("sub/c \"quoted\" \\ é\n", 100_000), ("sub/d", 1 << 20)] {
            try Data(repeating: 65, count: size).write(to: URL(fileURLWithPath: "\(folder)/\(name)"))
        }
        symlink("/nowhere", folder + "/sub/link")
        link(folder + "/b", folder + "/sub/hard")
        mkfifo(folder + "/sub/pipe", 0o600)
        let repository = try Repository.create(store: MemoryBlobStore(), password: Secret("fuzz"))
        for _ in 0..<2 {
            let session = try repository.beginBackup()
            try session.capture(folder, as: "/data")
            let now = SystemTime().now()
            _ = try session.finish(SnapshotInfo(time: now, hostname: "host", tags: ["a", "b=c"], paths: ["/", "/x"]))
        }
        let lock = try repository.lockExclusively()
        defer { lock.release() }
        var samples: [StoredForm: [[UInt8]]] = [:]
        for form in forms { samples[form] = try form.samples(in: repository) }
        return samples
    }
}
