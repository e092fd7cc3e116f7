import HoldfastEnvironments
import HoldfastModel
import Testing

@Suite struct PostgreSQLValueTests {
    private let segments = LogSegments(timeline: 1, size: 16 << 20)

    @Test func `a log position is read and written as the server writes it`() throws {
        #expect(try LogPosition("0/2000028").value == 0x2000028)
        #expect(try LogPosition("A/16B3748").value == 0xA_016B_3748)
        #expect(try LogPosition("A/16B3748").description == "A/16B3748")
        for wrong in ["", "/", "0", "0/", "x/1", "0/123456789", "0/1/2", "-1/0"] {
            #expect(throws: HoldfastError.self) { try LogPosition(wrong) }
        }
    }

    @Test func `log files are named by timeline, group and number`() {
        #expect(segments.name(2) == "000000010000000000000002")
        #expect(segments.name(0x100) == "000000010000000100000000")
        #expect(LogSegments(timeline: 0xAB, size: 1 << 30).name(5) == "000000AB0000000100000001")
    }

    @Test func `a mark at the end of a log file needs no byte of the next one`() throws {
        let start = try LogPosition("0/2000028")
        #expect(
            segments.names(from: start, to: LogPosition(0x4000000)) == [
                "000000010000000000000002", "000000010000000000000003",
            ])
        #expect(segments.length(before: LogPosition(0x4000000)) == 16 << 20)
        #expect(segments.names(from: start, to: LogPosition(0x4000001)).count == 3)
        #expect(segments.length(before: LogPosition(0x4000001)) == 1)
    }

    @Test func `a backup label gives its start, and a strange one is refused`() throws {
        let label = try BackupLabel(
            "START WAL LOCATION: 0/9000028 (file 000000030000000000000009)\nCHECKPOINT LOCATION: 0/9000060\n")
        #expect(label.start.description == "0/9000028")
        #expect(label.segment == "000000030000000000000009")
        #expect(label.timeline == 3)
        for wrong in [
            "", "START WAL LOCATION: 0/9000028", "START WAL LOCATION: 0/9000028 (file ../../etc/passwd)",
            "CHECKPOINT LOCATION: 0/9000060 (file 000000030000000000000009)",
        ] {
            #expect(throws: HoldfastError.self) { try BackupLabel(wrong) }
        }
    }

    @Test func `a mark survives its way through a manifest, and every field of it is checked`() throws {
        let mark = PostgreSQLMark(
            restorePoint: "holdfast-abc", range: (try LogPosition("0/2000028"), try LogPosition("0/3000060")),
            segments: segments, systemIdentifier: "7300000000000000000")
        #expect(mark.fields["first_wal"] == "000000010000000000000002")
        #expect(mark.fields["last_wal"] == "000000010000000000000003")
        #expect(try PostgreSQLMark(fields: mark.fields) == mark)
        for key in mark.fields.keys {
            for wrong in [nil, "", "x'; shutdown", "../wal"] {
                var fields = mark.fields
                fields[key] = wrong
                #expect(throws: HoldfastError.self) { try PostgreSQLMark(fields: fields) }
            }
        }
    }

    @Test(arguments: [
        "pg_wal/000000010000000000000001", "pg_wal/archive_status/x.done", "pg_replslot/slot/state",
        "postmaster.pid", "postmaster.opts", "base/pgsql_tmp/pgsql_tmp123.0", "base/1/pg_internal.init",
        "global/pg_internal.init.77", "pg_stat_tmp/db_0.stat", "global/pg_control", "backup_label",
        "tablespace_map", "recovery.signal", "standby.signal", "base/5/t3_16384", "base/5/t3_16384_fsm",
        "pg_dynshmem/mmap.1", "pg_notify/0000", "pg_serial/0000", "pg_snapshots/1", "pg_subtrans/0000",
    ])
    func `what belongs to the running server only is left out`(path: String) {
        #expect(PostgreSQLCopyRules.leavesOut(path))
    }

    @Test(arguments: [
        "pg_wal", "pg_replslot", "pg_stat_tmp", "pg_notify", "base", "base/1", "base/1/1259", "base/1/1259_vm",
        "base/1/PG_VERSION", "PG_VERSION", "global/1262", "pg_xact/0000", "pg_multixact/offsets/0000",
        "pg_logical/replorigin_checkpoint", "pg_filenode.map", "postgresql.auto.conf", "base/5/table",
        "pg_stat/pgstat.stat", "sub/postmaster.pid", "pg_tblspc", "pg_twophase/00000001",
    ])
    func `everything else is copied, and so are directories that will be empty`(path: String) {
        #expect(!PostgreSQLCopyRules.leavesOut(path))
    }

    @Test func `extensions are read in order and once, and anything else is refused`() throws {
        func settings(_ value: ConfigurationValue) throws -> PostgreSQLSettings {
            try PostgreSQLSettings(
                ServiceConfiguration(
                    name: "db", type: TypeReference(name: "postgresql", version: "15"),
                    configuration: .map(["extensions": value])))
        }
        #expect(
            try settings(.list([.string("pg_trgm"), .string("uuid-ossp"), .string("pg_trgm")])).extensions
                == ["pg_trgm", "uuid-ossp"])
        #expect(try settings(.null).extensions.isEmpty)
        for wrong in [ConfigurationValue.string("pg_trgm"), .list([.integer(1)]), .list([.string("x\"; DROP")])] {
            #expect(throws: HoldfastError.self) { try settings(wrong) }
        }
    }

    @Test func `more databases or endpoints are refused as not offered`() {
        let configuration = ServiceConfiguration(
            name: "db", type: TypeReference(name: "postgresql", version: "15"),
            configuration: .map(["databases": .list([.string("other")])]))
        let error = #expect(throws: HoldfastError.self) { try PostgreSQLSettings(configuration) }
        #expect(error?.code == .unsupported)
    }

    @Test func `a path with quotes, blanks and percent signs cannot leave the restore command`() {
        let text = PostgreSQLConfigurationFiles.recovery(logDirectory: "/a b/it's 100%f/\\x", restorePoint: "p")
        let line = text.split(separator: "\n").first { $0.hasPrefix("restore_command") }.map(String.init)
        let path = #"''/a b/it''\\''''s 100%%f/\\x/''%f"#
        #expect(line == "restore_command = '/bin/test -f \(path) && exec /bin/cp -- \(path) \"%p\"'")
    }

    @Test func `a service type without an adapter is refused by name`() throws {
        let error = #expect(throws: HoldfastError.self) {
            try ServiceAdapters.adapter(for: TypeReference(name: "oracle", version: "1"))
        }
        #expect(error?.code == .unsupported)
        #expect(
            try ServiceAdapters.adapter(for: TypeReference(name: "postgresql", version: "15")).stopSignal != 0)
    }
}
