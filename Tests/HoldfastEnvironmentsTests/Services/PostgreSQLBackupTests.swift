import Foundation
import HoldfastEnvironments
import HoldfastModel
import Testing

@Suite struct PostgreSQLBackupTests {
    @Test func `a restore holds exactly the rows that were committed before the mark`() throws {
        let fixture = try PostgreSQLFixture()
        let source = try fixture.instance(1)
        let endpoint = try fixture.start(source)
        let writer = ContractWriter(try PostgreSQLClient(endpoint))
        writer.resume()
        let session = try fixture.adapter.beginBackup(source, label: "a backup under load")
        defer { session.close() }
        try writer.waitForMore(200)
        try switchLog(fixture, source)
        let target = try fixture.instance(2)
        try makeDirectory(target.directory)
        try copyData(session, to: target.dataDirectory)
        try writer.waitForMore(200)
        try switchLog(fixture, source)
        try writer.waitForMore(50)

        writer.pause()
        let mark = try session.mark()
        let committed = writer.committed
        writer.resume()
        try writer.waitForMore(200)

        let staging = fixture.directory + "/staging"
        try makeDirectory(staging)
        let files = try session.collect(into: staging)
        session.close()
        writer.pause()
        #expect(files.filter { $0.path.hasPrefix("pg_wal/") }.count >= 3)
        try placeCollected(files, in: target.dataDirectory)
        #expect(
            try fixture.superuser(source).value("SELECT count(*) FROM pg_replication_slots", timeout: .seconds(10))
                == "0")

        try fixture.adapter.prepareRestore(target, manifest: fixture.manifest(source, mark: mark))
        try fixture.launch(target)
        let lines = try fixture.adapter.verify(target)
        #expect(lines.contains { $0.contains(mark["restore_point"] ?? "?") })
        #expect(lines.contains { $0.contains("database main") && $0.contains("sound") })
        #expect(lines.contains { $0.hasPrefix("the checksums of all ") })
        let restored = try fixture.adapter.afterStart(target)
        #expect(restored.password != endpoint.password)
        #expect(try PostgreSQLClient(restored).events() == Array(1...committed))
        #expect(writer.committed > committed)
    }

    @Test func `a restored service can be backed up and restored again`() throws {
        let fixture = try PostgreSQLFixture()
        let first = try fixture.instance(1)
        var endpoint = try fixture.start(first)
        try fixture.application(endpoint).query("CREATE TABLE t AS SELECT 1 AS x", timeout: .seconds(10))
        var source = first
        for number in 2...4 {
            let target = try fixture.instance(number)
            let backup = try take(fixture, source, into: target)
            try fixture.application(endpoint).query("INSERT INTO t VALUES (99)", timeout: .seconds(10))
            endpoint = try restore(fixture, backup, into: target)
            // Subscriptions of a copy that is only looked at must not take anything.
            #expect(try subscriptionWorkers(fixture, target) == "0")
            #expect(try rows(fixture, endpoint) == Array(1..<number).map(String.init))
            try fixture.application(endpoint).query("INSERT INTO t VALUES ($1)", ["\(number)"], timeout: .seconds(10))
            #expect(!FileManager.default.fileExists(atPath: target.directory + "/wal"))
            try fixture.stop(target)
            endpoint = try fixture.start(target)
            #expect(try subscriptionWorkers(fixture, target) != "0")
            #expect(try rows(fixture, endpoint) == Array(1...number).map(String.init))
            source = target
        }
    }

    @Test func `the copy alone, without Holdfast, comes up at the mark`() throws {
        let fixture = try PostgreSQLFixture()
        let source = try fixture.instance(1)
        let endpoint = try fixture.start(source)
        let session = try fixture.application(endpoint)
        try session.query("CREATE TABLE t AS SELECT 1 AS x", timeout: .seconds(10))
        let target = try fixture.instance(2)
        _ = try take(fixture, source, into: target) { mark in
            try session.query("INSERT INTO t VALUES (2)", timeout: .seconds(10))
            let fields = try mark()
            // Goes into the same log file, behind the mark.
            try session.query("INSERT INTO t VALUES (3)", timeout: .seconds(10))
            return fields
        }
        if geteuid() == 0 {
            let data = try GuardedDirectory(target.dataDirectory)
            try data.giveAll(to: target.user)
        }
        #expect(try rows(fixture, try fixture.start(target)) == ["1", "2"])
    }

    @Test func `recovery that cannot reach its mark is reported, not taken for good`() throws {
        let fixture = try PostgreSQLFixture { $0.startPatience = .seconds(4) }
        let source = try fixture.instance(1)
        _ = try fixture.start(source)
        // A restore point before the stop lies before the copy is consistent: the wrong order.
        let target = try fixture.instance(2)
        let backup = try take(fixture, source, into: target) { mark in
            try fixture.superuser(source).query(
                "SELECT pg_create_restore_point('holdfast-early')", timeout: .seconds(10))
            return try mark()
        }
        for name in ["holdfast-early", "holdfast-never"] {
            let aside = try fixture.instance(name == "holdfast-early" ? 3 : 4)
            try FileManager.default.copyItem(atPath: target.directory, toPath: aside.directory)
            var wrong = backup
            wrong.mark["restore_point"] = name
            try fixture.adapter.prepareRestore(aside, manifest: wrong)
            try fixture.launch(aside)
            let error = #expect(throws: HoldfastError.self) { try fixture.adapter.verify(aside) }
            #expect(error?.code == .damaged)
        }
    }

    @Test func `one backup at a time, and the next one when it has ended`() throws {
        let fixture = try PostgreSQLFixture()
        let source = try fixture.instance(1)
        _ = try fixture.start(source)
        let first = try fixture.adapter.beginBackup(source, label: "first")
        let error = #expect(throws: HoldfastError.self) {
            try fixture.adapter.beginBackup(source, label: "second")
        }
        #expect(error?.code == .locked)
        first.close()
        let cancelled = #expect(throws: HoldfastError.self) { try first.mark() }
        #expect(cancelled?.code == .cancelled)
        let second = try fixture.adapter.beginBackup(source, label: "second")
        second.close()
        try expectNothingLeft(fixture, source)
    }

    @Test func `a lost session fails the backup and leaves nothing behind`() throws {
        let fixture = try PostgreSQLFixture()
        let source = try fixture.instance(1)
        _ = try fixture.start(source)
        let session = try fixture.adapter.beginBackup(source, label: "lost")
        try fixture.superuser(source).query(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots", timeout: .seconds(10))
        var error = #expect(throws: HoldfastError.self) { try session.mark() }
        #expect(error?.code == .unavailable)
        error = #expect(throws: HoldfastError.self) { try session.collect(into: fixture.directory) }
        #expect(error?.code == .conflict)
        session.close()
        try expectNothingLeft(fixture, source)
        _ = try take(fixture, source, into: try fixture.instance(2))
    }

    @Test func `a mark that the server does not answer ends at its bound`() throws {
        let fixture = try PostgreSQLFixture { $0.markTimeout = .milliseconds(300) }
        let source = try fixture.instance(1)
        _ = try fixture.start(source)
        let session = try fixture.adapter.beginBackup(source, label: "stuck")
        defer { session.close() }
        let pid = try fixture.superuser(source).value(
            "SELECT active_pid FROM pg_replication_slots", timeout: .seconds(10))
        let process = try #require(pid_t(pid))
        kill(process, SIGSTOP)
        defer { kill(process, SIGCONT) }
        let error = #expect(throws: HoldfastError.self) { try session.mark() }
        #expect(error?.code == .timedOut)
        let again = #expect(throws: HoldfastError.self) { try session.mark() }
        #expect(again?.code == .conflict)
    }

    @Test func `a log file that was replaced by a link is not followed`() throws {
        let fixture = try PostgreSQLFixture()
        let source = try fixture.instance(1)
        _ = try fixture.start(source)
        let session = try fixture.adapter.beginBackup(source, label: "link")
        defer { session.close() }
        let mark = try session.mark()
        let segment = source.dataDirectory + "/pg_wal/" + (mark["first_wal"] ?? "?")
        try FileManager.default.moveItem(atPath: segment, toPath: segment + ".moved")
        symlink("/etc/passwd", segment)
        let staging = fixture.directory + "/staging"
        try makeDirectory(staging)
        let error = #expect(throws: HoldfastError.self) { try session.collect(into: staging) }
        #expect(error?.code == .damaged)
        #expect(try FileManager.default.contentsOfDirectory(atPath: staging).isEmpty)
    }

    @Test func `a backup says what its databases need, and a restore what of that is not here`() throws {
        let fixture = try PostgreSQLFixture()
        let source = try fixture.instance(1)
        _ = try fixture.start(source)
        let inside = try fixture.superuser(source, database: "main")
        for statement in [
            "CREATE COLLATION public.swedish (provider = icu, locale = 'sv-SE')",
            "CREATE TABLE public.names (name text COLLATE public.swedish PRIMARY KEY)",
            "INSERT INTO public.names VALUES ('z'), (chr(228))",
        ] { try inside.query(statement, timeout: .seconds(30)) }
        let version = try inside.value(
            "SELECT collversion FROM pg_collation WHERE collname = 'swedish'", timeout: .seconds(30))
        let session = try fixture.adapter.beginBackup(source, label: "needs")
        let needs = try #require(session.databases?["main"])
        session.close()
        #expect(needs.collations["swedish"] == version)
        #expect(needs.extensions["plpgsql"] != nil)
        try expectNothingLeft(fixture, source)

        // As from a machine whose library had another order, and with an extension that is not here.
        for statement in [
            "UPDATE pg_collation SET collversion = '1.0', colliculocale = 'de-DE' WHERE collname = 'swedish'",
            "UPDATE pg_extension SET extname = 'gone' WHERE extname = 'plpgsql'",
        ] { try inside.query(statement, timeout: .seconds(30)) }
        // Each order has a version of its own.
        let here = try inside.value(
            "SELECT pg_collation_actual_version(oid) FROM pg_collation WHERE collname = 'swedish'",
            timeout: .seconds(30))
        let target = try fixture.instance(2)
        let backup = try take(fixture, source, into: target)
        try fixture.adapter.prepareRestore(target, manifest: backup)
        try fixture.launch(target)
        let lines = try fixture.adapter.verify(target)
        let warnings = lines.filter { $0.hasPrefix("warning: ") }
        #expect(warnings.count == 3, "\(lines)")
        #expect(warnings.contains { $0.contains("index of database 'main'") })
        let collation = "collation swedish of database main is of version \(here) here"
        #expect(warnings.contains { $0.contains(collation) }, "\(lines)")
        #expect(warnings.contains { $0.contains("extension gone 1.0") })
        #expect(lines.contains { $0.hasPrefix("database postgres") && $0.contains("sound") })
    }

    @Test func `a tablespace outside of the data directory is refused by name`() throws {
        let fixture = try PostgreSQLFixture()
        let source = try fixture.instance(1)
        _ = try fixture.start(source)
        let elsewhere = fixture.directory + "/elsewhere"
        try makeDirectory(elsewhere)
        chown(elsewhere, source.user.uid, source.user.gid)
        try fixture.superuser(source).query(
            "CREATE TABLESPACE far LOCATION '\(elsewhere)'", timeout: .seconds(10))
        let error = #expect(throws: HoldfastError.self) {
            try fixture.adapter.beginBackup(source, label: "no")
        }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("far") == true)
        try expectNothingLeft(fixture, source)
    }

    @Test func `a backup of another major version or without its label is refused before anything changes`() throws {
        let fixture = try PostgreSQLFixture()
        let source = try fixture.instance(1)
        _ = try fixture.start(source)
        let target = try fixture.instance(2)
        let backup = try take(fixture, source, into: target)

        var other = backup
        other.serverVersion = "16.2"
        var error = #expect(throws: HoldfastError.self) { try fixture.adapter.prepareRestore(target, manifest: other) }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("16.2") == true && error?.message.contains("postgresql:15") == true)

        let label = target.dataDirectory + "/backup_label"
        try FileManager.default.moveItem(atPath: label, toPath: label + ".moved")
        error = #expect(throws: HoldfastError.self) { try fixture.adapter.prepareRestore(target, manifest: backup) }
        #expect(error?.code == .damaged)
        try FileManager.default.moveItem(atPath: label + ".moved", toPath: label)

        let segment = target.dataDirectory + "/pg_wal/" + (backup.mark["last_wal"] ?? "?")
        try FileManager.default.removeItem(atPath: segment)
        error = #expect(throws: HoldfastError.self) { try fixture.adapter.prepareRestore(target, manifest: backup) }
        #expect(error?.code == .damaged)
        #expect(!FileManager.default.fileExists(atPath: target.dataDirectory + "/recovery.signal"))
    }
}

private func makeDirectory(_ path: String) throws {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
}

private func switchLog(_ fixture: PostgreSQLFixture, _ instance: ServiceInstance) throws {
    try fixture.superuser(instance).query("SELECT pg_switch_wal()", timeout: .seconds(10))
}

/// A whole backup whose files lie in the target's data directory, as a restore finds them.
private func take(
    _ fixture: PostgreSQLFixture, _ source: ServiceInstance, into target: ServiceInstance,
    marking: (() throws -> [String: String]) throws -> [String: String] = { try $0() }
) throws -> ServiceManifest {
    try fixture.manifest(source, mark: try takeBackup(fixture.adapter, source, into: target, marking: marking).mark)
}

private func restore(
    _ fixture: PostgreSQLFixture, _ backup: ServiceManifest, into target: ServiceInstance
) throws -> ServiceEndpoint {
    try fixture.adapter.prepareRestore(target, manifest: backup)
    try fixture.launch(target)
    _ = try fixture.adapter.verify(target)
    return try fixture.adapter.afterStart(target)
}

private func subscriptionWorkers(_ fixture: PostgreSQLFixture, _ instance: ServiceInstance) throws -> String {
    try fixture.superuser(instance).value("SHOW max_logical_replication_workers", timeout: .seconds(10))
}

private func rows(_ fixture: PostgreSQLFixture, _ endpoint: ServiceEndpoint) throws -> [String] {
    try fixture.application(endpoint).query("SELECT x FROM t ORDER BY x", timeout: .seconds(10)).compactMap { $0[0] }
}

private func expectNothingLeft(_ fixture: PostgreSQLFixture, _ instance: ServiceInstance) throws {
    let session = try fixture.superuser(instance)
    try waitUntil("slot and lock are gone") {
        try session.value(
            """
            SELECT (SELECT count(*) FROM pg_replication_slots)
                + (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')
            """, timeout: .seconds(10)) == "0"
    }
}
