import Foundation
import HoldfastModel

/// The state directory: whose it is, and who else may look into it.
package struct HomeCheck: Sendable {
    let home: String
    let isRoot: Bool

    package init(home: String, isRoot: Bool = geteuid() == 0) {
        self.home = home
        self.isRoot = isRoot
    }

    package func findings() -> [Finding] {
        let check = "home"
        guard let top = Self.status(home) else {
            return [
                .wrong(check, "there is no state directory \(home)", "Name it with --home, or start holdfast serve")
            ]
        }
        guard top.st_uid == geteuid() else {
            return [
                .wrong(
                    check, "\(home) belongs to user \(top.st_uid), and this is user \(geteuid())",
                    "Run holdfast as the user that the directory belongs to")
            ]
        }
        // Users of environments pass through to their own folders, and see nothing else.
        let passage: mode_t = isRoot ? 0o711 : 0o700
        let open: [(String, mode_t)] = [(home, passage), ("\(home)/environments", passage)]
        let closed: [(String, mode_t)] = ["keys", "projects", "gateway", "log"].map { ("\(home)/\($0)", 0o700) }
        let files: [(String, mode_t)] = ["keys/master.key", "cli-token", "catalogue.sqlite", "settings.json"].map {
            ("\(home)/\($0)", 0o600)
        }
        var found: [Finding] = []
        for (path, allowed) in open + closed + files {
            guard let status = Self.status(path) else { continue }
            let mode = status.st_mode & 0o7777
            if mode & ~allowed != 0 {
                found.append(
                    .wrong(
                        check, "\(path) has mode \(String(mode, radix: 8)), so others may look into it",
                        "Run chmod \(String(allowed, radix: 8)) \(path)"))
            }
            if status.st_uid != geteuid() {
                found.append(
                    .wrong(
                        check, "\(path) belongs to user \(status.st_uid)", "Give it back to the user that runs serve"))
            }
        }
        return found.orGood(check, "\(home) is private to its owner")
    }

    private static func status(_ path: String) -> stat? {
        var status = stat()
        return lstat(path, &status) == 0 ? status : nil
    }
}
