import Foundation
import HoldfastBackup

/// For tests of crashes: with `HOLDFAST_STOP_AT=<point>` the process stands still at that point until it is killed, and
/// says so in the file `stopped-at` of the state directory. Leases are renewed meanwhile, as in a slow step. It goes on
/// when there is a file `go-on` beside it, and after half a minute.
enum StopPoint {
    static func make(home: StateDirectory) -> @Sendable (CrashPoint) -> Void {
        guard let name = ProcessInfo.processInfo.environment["HOLDFAST_STOP_AT"] else { return { _ in } }
        let file = "\(home.path)/stopped-at"
        return { point in
            guard point.rawValue == name else { return }
            FileManager.default.createFile(atPath: file, contents: Data(name.utf8))
            for _ in 0..<300 where !FileManager.default.fileExists(atPath: "\(home.path)/go-on") {
                Thread.sleep(forTimeInterval: 0.1)
            }
        }
    }
}
