import Foundation
import HoldfastModel

/// What the `configuration` of a service of type `binary` says.
package struct BinarySettings: Sendable, Hashable {
    /// How it is found out that the service can be used.
    package enum Readiness: Sendable, Hashable {
        /// It takes connections on its port.
        case connection
        /// `GET` of this path is answered with a status below 400.
        case http(String)
        /// This command ends with status 0.
        case command(String)
    }

    /// A command of the user's, run by a shell.
    package var start: String
    package var ready: Readiness
    /// The scheme in relationships.
    package var scheme: String
    /// Whether its files are backed up; else they are thrown away before each start.
    package var isPersistent: Bool
    /// Paths in the data directory that are not backed up, with all that is below them.
    package var excluded: [String]
    /// Variables of its processes.
    package var variables: [String: String]

    /// - Throws: `invalidInput` for values of a wrong form, `unsupported` for what is not offered.
    package init(_ configuration: ServiceConfiguration) throws {
        let reader = SettingsReader(
            configuration, known: ["start", "ready", "scheme", "persistent", "exclude", "variables"])
        try reader.checkKeys()
        guard let start = try reader.text("start") else {
            throw reader.fault("start", "is missing", "Write the command that starts the service in the foreground")
        }
        self.start = start
        scheme = try reader["scheme"].map { try reader.word("scheme", $0) } ?? "tcp"
        ready = try Self.readiness(reader)
        isPersistent = try Self.flag(reader)
        excluded = try Self.paths(reader)
        variables = [:]
        for (name, value) in try reader.map("variables") ?? [:] {
            let text = value.environmentText
            guard RuntimeVariables.isEnvironmentName(name), !RuntimeVariables.isReserved(name), !text.utf8.contains(0)
            else {
                throw reader.fault("variables.\(name)", "cannot be a variable", "Use letters, digits and _")
            }
            variables[name] = text
        }
    }

    private static func readiness(_ reader: SettingsReader) throws -> Readiness {
        guard let value = reader["ready"] else { return .connection }
        let hint = "Write connection, {http: /path} or {command: …}"
        if value.string == "connection" { return .connection }
        guard let map = value.map, map.count == 1 else { throw reader.fault("ready", "is none of its forms", hint) }
        if let path = map["http"]?.string, path.hasPrefix("/"), path.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) {
            return .http(path)
        }
        if let command = map["command"]?.string, !command.isEmpty, !command.utf8.contains(0) {
            return .command(command)
        }
        throw reader.fault("ready", "is none of its forms", hint)
    }

    private static func flag(_ reader: SettingsReader) throws -> Bool {
        guard let value = reader["persistent"] else { return true }
        guard case .bool(let flag) = value else {
            throw reader.fault("persistent", "is neither true nor false", "Write true or false")
        }
        return flag
    }

    private static func paths(_ reader: SettingsReader) throws -> [String] {
        guard let value = reader["exclude"] else { return [] }
        let paths = value.list?.compactMap(\.string) ?? []
        let isPlain = paths.allSatisfy { path in
            !path.isEmpty && !path.utf8.contains(0)
                && path.split(separator: "/", omittingEmptySubsequences: false)
                    .allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }
        }
        guard isPlain, paths.count == value.list?.count else {
            throw reader.fault(
                "exclude", "is not a list of paths in the data directory", "Write a list such as [tmp, run/pid]")
        }
        return paths
    }

    /// Whether a path of the data directory is left out.
    func leavesOut(_ path: String) -> Bool { excluded.contains { path == $0 || path.hasPrefix($0 + "/") } }
}
