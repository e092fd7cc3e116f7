/// What a physical copy of a running server's data directory leaves out.
///
/// Source: PostgreSQL manual, "Making a Base Backup Using the Low Level API", and the lists in
/// src/backend/backup/basebackup.c. `global/pg_control` is left out because it may be torn when read under a running
/// server; the session reads it in the hold and checks it.
package enum PostgreSQLCopyRules {
    /// Directories that have to exist in the backup, and be empty.
    package static let emptyDirectories: Set<String> = [
        "pg_wal", "pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans",
    ]

    /// Files of the data directory itself that belong to the running server, or to another backup.
    package static let topLevelFiles: Set<String> = [
        "postmaster.pid", "postmaster.opts", "postgresql.auto.conf.tmp", "current_logfiles", "current_logfiles.tmp",
        "backup_label", "backup_label.old", "tablespace_map", "tablespace_map.old", "backup_manifest",
        "recovery.signal", "standby.signal",
    ]

    package static let control = "global/pg_control"

    /// - Parameter path: relative to the data directory.
    package static func leavesOut(_ path: String) -> Bool {
        let parts = path.split(separator: "/")
        guard let first = parts.first, let last = parts.last else { return false }
        if path == control || parts.count == 1 && topLevelFiles.contains(path) { return true }
        if parts.count > 1 && emptyDirectories.contains(String(first)) { return true }
        if parts.contains(where: { $0.hasPrefix("pgsql_tmp") }) || last.hasPrefix("pg_internal.init") { return true }
        return parts.count == 3 && first == "base" && isTemporaryRelation(last)
    }

    /// `t3_16384`, `t3_16384_fsm`, `t3_16384.1`: a session's temporary table.
    private static func isTemporaryRelation(_ name: Substring) -> Bool {
        guard name.first == "t", let split = name.firstIndex(of: "_") else { return false }
        let backend = name[name.index(after: name.startIndex)..<split]
        let rest = name[name.index(after: split)...]
        return !backend.isEmpty && backend.allSatisfy(\.isASCIIDigit) && rest.first?.isASCIIDigit == true
    }
}

extension Character {
    fileprivate var isASCIIDigit: Bool { isASCII && isNumber }
}
