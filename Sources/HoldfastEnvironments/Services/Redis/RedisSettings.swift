import Foundation
import HoldfastModel

/// What the `configuration` of a Redis or Valkey service says, and the files that the server starts with.
package struct RedisSettings: Sendable, Hashable {
    /// What is thrown away when memory is short; only where keys need not be kept.
    package var evictionPolicy: String

    private static let policies = [
        "allkeys-lfu", "allkeys-lru", "allkeys-random", "noeviction", "volatile-lfu", "volatile-lru",
        "volatile-random", "volatile-ttl",
    ]

    /// - Throws: `invalidInput` for values of a wrong form, `unsupported` for what is not offered.
    package init(_ configuration: ServiceConfiguration) throws {
        let reader = SettingsReader(configuration, known: ["maxmemory_policy"])
        try reader.checkKeys()
        let isPersistent = RedisAdapter.isPersistent(configuration.type)
        evictionPolicy = try reader.text("maxmemory_policy") ?? (isPersistent ? "noeviction" : "allkeys-lru")
        guard Self.policies.contains(evictionPolicy) else {
            throw reader.fault(
                "maxmemory_policy", "is not a policy", "Use one of: \(Self.policies.joined(separator: ", "))")
        }
    }

    /// The server's settings. No secret is in them.
    func server(_ instance: ServiceInstance) -> String {
        let isPersistent = RedisAdapter.isPersistent(instance.type)
        let lines = [
            "bind 127.0.0.1", "port \(instance.port)", "protected-mode yes", "daemonize no", "supervised no",
            "unixsocket \(Self.quoted(RedisAdapter.socket(instance)))", "unixsocketperm 700",
            "dir \(Self.quoted(instance.dataDirectory))", "dbfilename \(RedisFiles.dump)",
            "aclfile \(Self.quoted(instance.configurationDirectory + "/users.acl"))",
            // Points in time are taken by backups; between them the log keeps everything.
            "save \"\"", "appendonly \(isPersistent ? "yes" : "no")", "appendfsync everysec",
            "appenddirname \(RedisFiles.logDirectory)", "appendfilename \(RedisFiles.logName)",
            "aof-use-rdb-preamble yes", "aof-load-truncated yes", "rdbcompression yes", "rdbchecksum yes",
            "maxmemory-policy \(evictionPolicy)", "loglevel notice", "logfile \"\"", "always-show-logo no",
        ]
        return "# Written by Holdfast before each start; changes are lost.\n" + lines.joined(separator: "\n") + "\n"
    }

    /// Who may do what. Passwords are in it as SHA-256, which for 160 random bits tells nothing.
    ///
    /// An app may not do what would break backups or the server: save, change settings, replicate, shut down.
    static func users(own: String, app: String) -> String {
        """
        user \(RedisAdapter.superuser) on #\(own) ~* &* +@all
        user default on #\(app) ~* &* +@all -@admin +config|get +client|list +client|kill +slowlog|get +latency|latest

        """
    }

    /// A string of the configuration file.
    private static func quoted(_ text: String) -> String {
        "\"" + text.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "\"", with: "\\\"") + "\""
    }
}
