import Foundation
import HoldfastBackup

/// For tests of crashes: with `HOLDFAST_STOP_AT=<point>` an activity stands still at that point until the process is
/// killed, and says so in the file `stopped-at` of the state directory. Leases are renewed meanwhile, as in a slow
/// step. It goes on when there is a file `go-on` beside it, and after half a minute.
///
/// In the middle of the marks the process stops as a whole, its leases with it, because others are being taken on other
/// threads. To go on it needs a SIGCONT, too.
enum StopPoint {
    static func make(home: StateDirectory) -> @Sendable (CrashPoint) -> Void {
        guard let name = ProcessInfo.processInfo.environment["HOLDFAST_STOP_AT"] else { return { _ in } }
        let file = "\(home.path)/stopped-at"
        let mayGoOn: @Sendable () -> Bool = { FileManager.default.fileExists(atPath: "\(home.path)/go-on") }
        return { point in
            guard point.rawValue == name, !mayGoOn() else { return }
            FileManager.default.createFile(atPath: file, contents: Data(name.utf8))
            if point == .backupMarking { raise(SIGSTOP) }
            for _ in 0..<300 where !mayGoOn() { Thread.sleep(forTimeInterval: 0.1) }
        }
    }
}
