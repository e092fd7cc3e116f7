import HoldfastControl
import Logging
import Synchronization

/// Gateway and supervisors outlive `serve`, so after an upgrade they may be of another version than it.
final class OtherVersion: Sendable {
    private let told = Mutex<Set<String>>([])
    private let logger: Logger

    init(logger: Logger) { self.logger = logger }

    /// Says so in the log, once for each process.
    ///
    /// - Parameters:
    ///   - what: such as `The gateway`.
    ///   - version: what it says; nil if it is older than the first version.
    func note(_ what: String, _ version: Int?, _ pid: Int32?) {
        guard let line = Control.versionProblem(what, version, pid) else { return }
        guard told.withLock({ $0.insert("\(what) \(pid ?? 0)").inserted }) else { return }
        logger.warning("a process is of another version of holdfast", metadata: ["what": "\(line)"])
    }
}
