import Foundation
import HoldfastModel

/// What one process cost, as the kernel says.
struct Measurement: Codable, Sendable, Hashable {
    var wallSeconds: Double
    /// User and system, of the process and the children that it waited for.
    var cpuSeconds: Double
    var peakMebibytes: Double

    static let none = Measurement(wallSeconds: 0, cpuSeconds: 0, peakMebibytes: 0)

    /// Of two processes one after the other.
    static func + (one: Measurement, other: Measurement) -> Measurement {
        Measurement(
            wallSeconds: one.wallSeconds + other.wallSeconds, cpuSeconds: one.cpuSeconds + other.cpuSeconds,
            peakMebibytes: max(one.peakMebibytes, other.peakMebibytes))
    }
}

/// A process that is run to its end and measured.
struct MeasuredProcess {
    let executable: String
    let arguments: [String]
    var environment: [String: String] = [:]
    /// Standard output and errors go here; the end of it explains a failure.
    let log: String

    /// - Throws: with the end of the log if the process does not end with 0.
    func run(time: any TimeSource = SystemTime()) throws -> Measurement {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)

        let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        var words: [UnsafeMutablePointer<CChar>?] = ([executable] + arguments).map { strdup($0) } + [nil]
        var pairs: [UnsafeMutablePointer<CChar>?] = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in words + pairs { free(text) } }

        var pid: pid_t = 0
        let start = time.monotonicNanoseconds()
        let result = posix_spawnp(&pid, executable, &actions, nil, &words, &pairs)
        guard result == 0 else {
            throw BenchError("cannot start '\(executable)': \(String(cString: strerror(result)))")
        }
        var status: Int32 = 0
        var usage = rusage()
        while wait4(pid, &status, 0, &usage) != pid {
            guard errno == EINTR else { throw BenchError("cannot wait for '\(executable)' (errno \(errno))") }
        }
        let end = time.monotonicNanoseconds()
        guard status == 0 else { throw BenchError("\(shown) failed with wait status \(status): \(endOfLog)") }
        return Measurement(
            wallSeconds: Double(end - start) / 1e9,
            cpuSeconds: Self.seconds(usage.ru_utime) + Self.seconds(usage.ru_stime),
            peakMebibytes: Double(usage.ru_maxrss) / 1024)
    }

    private var shown: String { ([executable] + arguments).joined(separator: " ") }

    private var endOfLog: String {
        let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").suffix(5).joined(separator: " | ")
    }

    private static func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
}
