import Glibc
import HoldfastModel

/// A lock object, as restic writes it.
///
/// Source: restic's design document, "Locks".
struct LockFile: Sendable {
    /// Older locks are stale: their owner refreshes them every five minutes.
    static let staleAfterSeconds: Int64 = 30 * 60

    var time: Timestamp
    var isExclusive: Bool
    var hostname: String
    var username: String
    var process: Int

    static func own(isExclusive: Bool, time: Timestamp) -> LockFile {
        LockFile(
            time: time, isExclusive: isExclusive, hostname: Machine.hostName, username: Machine.userName,
            process: Int(getpid()))
    }

    /// Whether its owner is gone: no refresh for half an hour, or a process of this machine that is dead.
    func isStale(now: Timestamp) -> Bool {
        if time.adding(seconds: Self.staleAfterSeconds) < now { return true }
        guard hostname == Machine.hostName, let process = pid_t(exactly: process), process > 0 else { return false }
        return kill(process, 0) != 0 && errno == ESRCH
    }

    func encoded() -> [UInt8] {
        var writer = JSONWriter()
        writer.literal("{\"time\":")
        writer.time(time)
        writer.literal(",\"exclusive\":")
        writer.literal(isExclusive ? "true" : "false")
        writer.literal(",\"hostname\":")
        writer.string(hostname)
        writer.literal(",\"username\":")
        writer.string(username)
        writer.literal(",\"pid\":")
        writer.number(process)
        writer.literal(",\"uid\":")
        writer.number(getuid())
        writer.literal(",\"gid\":")
        writer.number(getgid())
        writer.literal("}")
        return writer.bytes
    }

    init(time: Timestamp, isExclusive: Bool, hostname: String, username: String, process: Int) {
        self.time = time
        self.isExclusive = isExclusive
        self.hostname = hostname
        self.username = username
        self.process = process
    }

    init(decoding bytes: [UInt8], id: ObjectID) throws {
        var lock = LockFile(time: .zero, isExclusive: false, hostname: "", username: "", process: 0)
        try JSONReader.read(bytes, what: "lock \(id)") { reader in
            try reader.object { key, reader in
                if key == "time" {
                    lock.time = try reader.time()
                } else if key == "exclusive" {
                    lock.isExclusive = try reader.boolean()
                } else if key == "hostname" {
                    lock.hostname = try reader.text()
                } else if key == "username" {
                    lock.username = try reader.text()
                } else if key == "pid" {
                    lock.process = try reader.integer()
                } else {
                    try reader.skipValue()
                }
            }
        }
        self = lock
    }
}
