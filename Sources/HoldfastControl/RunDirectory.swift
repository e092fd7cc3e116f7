import Foundation
import HoldfastModel

/// Where the sockets of an installation lie.
package enum RunDirectory {
    /// `<home>/run`, or for a long home a short path of its own: the path of a Unix socket ends at 107 bytes, and the
    /// longest below it is `<13>/<service>.<n>/.s.PGSQL.65535`.
    ///
    /// - Parameter home: absolute path of the state directory.
    package static func path(home: String) -> String {
        let inside = "\(home)/run"
        guard inside.utf8.count > 48 else { return inside }
        return "\(geteuid() == 0 ? "/run" : "/tmp")/holdfast-\(String(StableHash.of(home), radix: 36))"
    }
}
