import Foundation
import HoldfastModel

/// What the `configuration` of a RabbitMQ service says, and the files and variables that the server starts with.
package struct RabbitMQSettings: Sendable, Hashable {
    /// Virtual hosts; an app's user may do everything in each of them.
    package var virtualHosts: [String]

    /// Known to the server as `/`, which every client takes if it is told nothing.
    static let defaultHost = "/"
    /// The user of apps.
    static let user = "user"

    /// - Throws: `invalidInput` for values of a wrong form, `unsupported` for what is not offered.
    package init(_ configuration: ServiceConfiguration) throws {
        let reader = SettingsReader(configuration, known: ["vhosts"])
        try reader.checkKeys()
        virtualHosts = [Self.defaultHost] + (try reader.names("vhosts") ?? [])
    }

    /// The server's settings. No secret is in them.
    func server(_ instance: ServiceInstance) -> String {
        let lines = [
            "listeners.tcp.1 = 127.0.0.1:\(instance.port)",
            "log.console = true", "log.console.level = warning", "log.file = false",
            "load_definitions = \(instance.configurationDirectory)/definitions.json",
            "cluster_name = \(instance.name)",
        ]
        return "# Written by Holdfast before each start; changes are lost.\n" + lines.joined(separator: "\n") + "\n"
    }

    /// Users, virtual hosts and rights, which the server makes so at each start.
    ///
    /// The password is in it as a salted SHA-256, which for 160 random bits tells nothing, whatever the salt.
    func definitions(password: Secret) throws -> [UInt8] {
        let salt = Array("hold".utf8)
        let hash = salt + SecretDigest.sha256(salt + Array(password.reveal().utf8))
        let user = [
            "name": Self.user, "password_hash": Data(hash).base64EncodedString(),
            "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": "",
        ]
        let definitions = [
            "users": [user],
            "vhosts": virtualHosts.map { ["name": $0] },
            "permissions": virtualHosts.map {
                ["user": Self.user, "vhost": $0, "configure": ".*", "write": ".*", "read": ".*"]
            },
        ]
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(definitions))
    }

    /// Variables of the server's start script.
    ///
    /// The node has the same name everywhere, because its files carry it. It neither listens for other nodes nor starts
    /// Erlang's port mapper: whoever may talk to either of them may do anything. Nor do the short-lived nodes by which
    /// it makes sure, each minute, that there is a port mapper: hence flags for all of them.
    static func variables(_ instance: ServiceInstance) -> [String: String] {
        let (data, conf, run) = (instance.dataDirectory, instance.configurationDirectory, instance.runDirectory)
        return [
            "HOME": run, "LANG": "C.UTF-8", "ERL_CRASH_DUMP_SECONDS": "0",
            "RABBITMQ_NODENAME": "rabbit@localhost",
            "RABBITMQ_CONF_ENV_FILE": "\(conf)/none", "RABBITMQ_CONFIG_FILE": "\(conf)/rabbitmq.conf",
            "RABBITMQ_CONFIG_FILES": "\(conf)/none/*.conf", "RABBITMQ_ADVANCED_CONFIG_FILE": "\(conf)/advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": "\(conf)/enabled_plugins",
            "RABBITMQ_MNESIA_BASE": data, "RABBITMQ_MNESIA_DIR": "\(data)/\(RabbitMQAdapter.folder)",
            "RABBITMQ_FEATURE_FLAGS_FILE": "\(data)/feature_flags",
            "RABBITMQ_QUORUM_DIR": "\(data)/quorum", "RABBITMQ_STREAM_DIR": "\(data)/stream",
            "RABBITMQ_PLUGINS_EXPAND_DIR": "\(run)/plugins", "RABBITMQ_GENERATED_CONFIG_DIR": "\(run)/config",
            "RABBITMQ_PID_FILE": "\(run)/rabbitmq.pid", "RABBITMQ_LOG_BASE": run, "RABBITMQ_LOGS": "-",
            // The server takes the script's place, so that signals reach it.
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-noinput -sname rabbit@localhost",
            "ERL_ZFLAGS": "-dist_listen false -start_epmd false -erl_epmd_port 1",
        ]
    }
}
