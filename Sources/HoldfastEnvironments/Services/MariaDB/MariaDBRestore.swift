import Foundation
import HoldfastModel

/// Makes restored files ready to be started, and proves that what came up stands at the mark.
struct MariaDBRestore {
    private static let markFile = "restore.json"
    /// Tables are checked from the smallest on until this many bytes are read.
    private static let checkedBytes = 128 << 20

    let adapter: MariaDBAdapter
    let instance: ServiceInstance

    private var timeout: Duration { adapter.options.recoveryTimeout }

    func prepare(_ manifest: ServiceManifest) throws {
        let isSame = MariaDBAdapter.typeNames.contains(try TypeReference(manifest.type).name)
        var described = manifest
        // The two names are of one kind of server.
        if isSame { described.type = instance.type.description }
        try described.check(for: instance, method: "physical")
        let installation = try MariaDBInstallation(instance)
        guard InstalledTypes.matches(wanted: instance.type.version, there: manifest.serverVersion) else {
            throw MariaDBInstallation.wrongVersion(instance, found: manifest.serverVersion)
        }
        guard let mark = manifest.mark["mark"], let lsn = manifest.mark["lsn"], UInt64(lsn) != nil else {
            throw HoldfastError(.damaged, "the backup of service '\(instance.name)' has no mark")
        }
        try FileList.apply(to: instance)
        try installation.check(try GuardedDirectory(instance.dataDirectory))
        let conf = try GuardedDirectory(instance.configurationDirectory)
        try conf.write(Self.markFile, Array(JSONEncoder().encode(["mark": mark, "lsn": lsn])), mode: 0o644)
    }

    func verify() throws -> [String] {
        try adapter.waitUntilReady(instance, timeout: timeout, time: adapter.options.time)
        let session = try adapter.session(instance)
        defer { session.close() }
        let conf = try GuardedDirectory(instance.configurationDirectory)
        var lines: [String] = []
        if try conf.status(Self.markFile) != nil {
            let fields: [String: String]
            do {
                let bytes = try conf.read(Self.markFile, limit: 65536)
                fields = try JSONDecoder().decode([String: String].self, from: Data(bytes))
            } catch let error as DecodingError {
                throw HoldfastError(.damaged, "'\(conf.path)/\(Self.markFile)' is damaged", cause: error)
            }
            lines.append(try checkMark(fields, session))
        }
        lines.append(try checkTables(session))
        _ = try adapter.afterStart(instance)
        lines.append("users and passwords are set")
        try FileList.forget(instance)
        try conf.remove(Self.markFile)
        return lines
    }

    /// The mark's row is the last thing that was committed before the fence.
    private func checkMark(_ fields: [String: String], _ session: MariaDBSession) throws -> String {
        let found = try session.query("SELECT mark FROM \(MariaDBBackup.table) WHERE id = 1", timeout: timeout)
        let mark = found.first.flatMap { $0[0] } ?? "none"
        guard mark == fields["mark"] else {
            throw HoldfastError(
                .damaged, "service '\(instance.name)' was restored to mark '\(mark)', not '\(fields["mark"] ?? "")'",
                hint: "Restore another backup")
        }
        let position = try session.query("SHOW GLOBAL STATUS LIKE 'Innodb_lsn_flushed'", timeout: timeout)
        let reached = position.first.flatMap { $0.last ?? nil }.flatMap { UInt64($0) } ?? 0
        guard let wanted = fields["lsn"].flatMap({ UInt64($0) }), reached >= wanted else {
            throw HoldfastError(
                .damaged,
                "service '\(instance.name)' was recovered to \(reached), its mark is at "
                    + "\(fields["lsn"] ?? "?")", hint: "Restore another backup")
        }
        return "recovered to mark \(mark) at \(fields["lsn"] ?? "")"
    }

    private func checkTables(_ session: MariaDBSession) throws -> String {
        let tables = try session.query(
            """
            SELECT table_schema, table_name FROM (
                SELECT table_schema, table_name,
                    SUM(data_length + index_length) OVER (ORDER BY data_length + index_length, table_schema, table_name)
                        AS bytes
                FROM information_schema.tables
                WHERE table_type = 'BASE TABLE' AND engine IN ('InnoDB', 'Aria', 'MyISAM')
                    AND table_schema NOT IN ('sys', 'information_schema', 'performance_schema')
            ) AS sizes WHERE bytes <= \(Self.checkedBytes)
            """, timeout: timeout)
        for row in tables {
            let name = row.map { MariaDBSession.identifier($0 ?? "") }.joined(separator: ".")
            let answers = try session.query("CHECK TABLE \(name)", timeout: timeout)
            // Table, operation, kind of message, message.
            if let bad = answers.first(where: { $0.count > 3 && ($0[2] ?? "").lowercased() == "error" }) {
                throw HoldfastError(
                    .damaged, "table \(name) of service '\(instance.name)' is damaged: \(bad[3] ?? "")",
                    hint: "Restore another backup")
            }
        }
        return "\(tables.count) tables are sound"
    }
}
