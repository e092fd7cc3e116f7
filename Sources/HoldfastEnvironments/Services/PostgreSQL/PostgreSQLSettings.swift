import Foundation
import HoldfastModel

/// What the `configuration` of a PostgreSQL service says.
package struct PostgreSQLSettings: Sendable, Hashable {
    /// Extensions to have in the database, in the order of the file.
    package var extensions: [String]

    /// The database and the role of the endpoint that a service has unless its configuration says otherwise.
    package static let database = "main"
    package static let role = "main"

    /// - Throws: `invalidInput` for values of a wrong form, `unsupported` for what this version does not offer.
    package init(_ configuration: ServiceConfiguration) throws {
        for key in ["databases", "endpoints", "schemas"] where configuration.configuration[key] != nil {
            throw HoldfastError(
                .unsupported, "'configuration.\(key)' of service '\(configuration.name)' is not offered",
                hint: "Remove it: the service has one database, 'main', and one endpoint")
        }
        extensions = []
        guard let value = configuration.configuration["extensions"], value != .null else { return }
        guard let list = value.list else { throw Self.invalid(configuration.name) }
        for item in list {
            guard let name = item.string, Self.isExtensionName(name) else { throw Self.invalid(configuration.name) }
            if !extensions.contains(name) { extensions.append(name) }
        }
    }

    private static func invalid(_ service: String) -> HoldfastError {
        HoldfastError(
            .invalidInput, "'configuration.extensions' of service '\(service)' is not a list of extension names",
            hint: "Write a list such as [pg_trgm, uuid-ossp]")
    }

    private static func isExtensionName(_ text: String) -> Bool {
        (1...63).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                (97...122).contains($0) || (48...57).contains($0) || $0 == 45 || $0 == 95
            }
    }
}

/// The files in a service's `conf` directory, as text. All of them are written anew before each start.
package enum PostgreSQLConfigurationFiles {
    package static let notice = "# Written by Holdfast before each start; changes are lost.\n"

    /// The server's own settings. What must not be changed by `ALTER SYSTEM` is on the command line instead.
    package static func server(name: String) -> String {
        notice + """
            cluster_name = \(quoted(String(name.prefix(63))))
            wal_level = replica
            max_wal_senders = 0
            fsync = on
            full_page_writes = on
            synchronous_commit = on
            max_connections = 100
            shared_buffers = 128MB
            timezone = 'UTC'
            log_timezone = 'UTC'
            log_line_prefix = '%m [%p] %q%u@%d '
            password_encryption = scram-sha-256
            datestyle = 'iso, mdy'
            lc_messages = 'C.UTF-8'
            lc_monetary = 'C.UTF-8'
            lc_numeric = 'C.UTF-8'
            lc_time = 'C.UTF-8'
            default_text_search_config = 'pg_catalog.english'
            include_if_exists = 'recovery.conf'

            """
    }

    /// Who may connect how: the control plane through the socket as superuser, everybody else with a password.
    package static func access(superuser: String) -> String {
        notice + """
            local all \(superuser) peer map=holdfast
            local all all scram-sha-256
            host all \(superuser) 127.0.0.1/32 reject
            host all all 127.0.0.1/32 scram-sha-256

            """
    }

    /// Which system user is the control plane.
    package static func identities(systemUser: String, superuser: String) -> String {
        notice + "holdfast \"\(systemUser)\" \(superuser)\n"
    }

    /// How a restored server finds the log and where it stops.
    ///
    /// `hot_standby` is off so that nobody reads or checks a database that is still being recovered. Subscriptions in
    /// the data have no workers: a copy that is only looked at must not take what is meant for the original.
    package static func recovery(logDirectory: String, restorePoint: String) -> String {
        let source = shellQuoted(logDirectory + "/").replacingOccurrences(of: "%", with: "%%")
        let command = "/bin/test -f \(source)%f && exec /bin/cp -- \(source)%f \"%p\""
        return notice + """
            restore_command = \(quoted(command))
            recovery_target_name = \(quoted(restorePoint))
            recovery_target_action = promote
            recovery_target_timeline = current
            hot_standby = off
            max_logical_replication_workers = 0

            """
    }

    /// The value of `unix_socket_directories`: a list with one entry.
    package static func socketDirectories(_ directory: String) -> String {
        "\"" + directory.replacingOccurrences(of: "\"", with: "\"\"") + "\""
    }

    /// A string of the configuration file, in which backslashes are escapes.
    package static func quoted(_ text: String) -> String {
        "'" + text.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "'", with: "''") + "'"
    }

    private static func shellQuoted(_ text: String) -> String {
        "'" + text.replacingOccurrences(of: "'", with: "'\\''") + "'"
    }
}
