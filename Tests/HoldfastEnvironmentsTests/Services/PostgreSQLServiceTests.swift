import Foundation
import HoldfastEnvironments
import HoldfastModel
import Testing

@Suite struct PostgreSQLServiceTests {
    @Test func `a service starts from nothing, and only the password opens it`() throws {
        let fixture = try PostgreSQLFixture()
        let instance = try fixture.instance(configuration: .map(["extensions": .list([.string("pg_trgm")])]))
        #expect(try !fixture.adapter.isReady(instance))
        let endpoint = try fixture.start(instance, fromNothing: true)
        #expect(endpoint.username == "main" && endpoint.path == "main" && endpoint.scheme == "pgsql")
        #expect(try fixture.adapter.serverVersion(instance).hasPrefix("15."))

        for host in [endpoint.host, instance.runDirectory] {
            let session = try fixture.application(endpoint, host: host)
            #expect(try session.value("SELECT current_user", timeout: .seconds(10)) == "main")
            #expect(try session.value("SELECT current_setting('is_superuser')", timeout: .seconds(10)) == "off")
        }
        let session = try fixture.application(endpoint)
        try session.query("CREATE TABLE t (a text)", timeout: .seconds(10))
        #expect(
            try session.value(
                "SELECT string_agg(extname, ',' ORDER BY extname) FROM pg_extension", timeout: .seconds(10))
                == "pg_trgm,plpgsql")
        #expect(
            try session.value(
                "SELECT datcollate || ' ' || pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'main'",
                timeout: .seconds(10)) == "C.UTF-8 UTF8")
        #expect(try session.value("SHOW data_checksums", timeout: .seconds(10)) == "on")

        var wrong = endpoint
        wrong.password = Secret("wrong")
        #expect(throws: HoldfastError.self) { try fixture.application(wrong) }
        var other = endpoint
        other.path = "postgres"
        #expect(throws: HoldfastError.self) { try fixture.application(other) }
        var superuser = endpoint
        superuser.username = PostgreSQLAdapter.superuser
        #expect(throws: HoldfastError.self) { try fixture.application(superuser) }
        #expect(!fixture.logText(of: instance).contains(endpoint.password.reveal()))
    }

    @Test(.enabled(if: geteuid() == 0))
    func `the environment's own user is not let in as superuser`() throws {
        let fixture = try PostgreSQLFixture()
        let instance = try fixture.instance()
        _ = try fixture.start(instance)
        let client = ProcessSpecification(
            executable: "/usr/lib/postgresql/15/bin/psql",
            arguments: [
                "-h", instance.runDirectory, "-p", "\(instance.port)", "-U", PostgreSQLAdapter.superuser, "-w",
                "-c", "SELECT 1", "postgres",
            ], environment: [:], directory: "/", user: instance.user)
        #expect(try ProcessRunner().run(client).status == .exited(2))
        #expect(try fixture.superuser(instance).value("SELECT current_user", timeout: .seconds(10)) == "holdfast")
    }

    @Test func `starting again keeps data and password, which only the control plane can read`() throws {
        let fixture = try PostgreSQLFixture()
        let instance = try fixture.instance()
        let endpoint = try fixture.start(instance)
        try fixture.application(endpoint).query("CREATE TABLE kept AS SELECT 7 AS x", timeout: .seconds(10))
        var status = stat()
        #expect(stat(instance.configurationDirectory + "/endpoint.json", &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600 && status.st_uid == geteuid())
        try fixture.stop(instance)
        #expect(try !fixture.adapter.isReady(instance))

        #expect(try fixture.start(instance) == endpoint)
        #expect(try fixture.application(endpoint).value("SELECT x FROM kept", timeout: .seconds(10)) == "7")
    }

    @Test func `a password that was changed behind our back is set again`() throws {
        let fixture = try PostgreSQLFixture()
        let instance = try fixture.instance()
        let endpoint = try fixture.start(instance)
        try fixture.application(endpoint).query("ALTER ROLE main PASSWORD 'mine'", timeout: .seconds(10))
        #expect(throws: HoldfastError.self) { try fixture.application(endpoint) }
        #expect(try fixture.adapter.afterStart(instance) == endpoint)
        _ = try fixture.application(endpoint)
    }

    @Test func `an initialisation that was interrupted is done anew`() throws {
        let fixture = try PostgreSQLFixture()
        let instance = try fixture.instance()
        try FileManager.default.createDirectory(
            atPath: instance.directory + "/data.new/base", withIntermediateDirectories: true)
        try fixture.adapter.prepare(instance)
        #expect(FileManager.default.fileExists(atPath: instance.dataDirectory + "/PG_VERSION"))
        #expect(!FileManager.default.fileExists(atPath: instance.directory + "/data.new"))
    }

    @Test func `data that is not ours to use is refused with its reason, and left alone`() throws {
        let fixture = try PostgreSQLFixture()
        let instance = try fixture.instance()
        try FileManager.default.createDirectory(
            atPath: instance.dataDirectory, withIntermediateDirectories: true)
        try Data("x".utf8).write(to: URL(fileURLWithPath: instance.dataDirectory + "/precious"))
        var error = #expect(throws: HoldfastError.self) { try fixture.adapter.prepare(instance) }
        #expect(error?.code == .damaged)
        try Data("14\n".utf8).write(to: URL(fileURLWithPath: instance.dataDirectory + "/PG_VERSION"))
        error = #expect(throws: HoldfastError.self) { try fixture.adapter.prepare(instance) }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("PostgreSQL 14") == true)
        #expect(FileManager.default.fileExists(atPath: instance.dataDirectory + "/precious"))
    }

    @Test func `a version that is not installed and an extension that is not there are named`() throws {
        let fixture = try PostgreSQLFixture()
        var error = #expect(throws: HoldfastError.self) {
            try fixture.adapter.prepare(try fixture.instance(version: "8"))
        }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("postgresql:8") == true)
        let instance = try fixture.instance(configuration: .map(["extensions": .list([.string("no_such")])]))
        error = #expect(throws: HoldfastError.self) { try fixture.start(instance) }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("no_such") == true)
    }

    @Test func `a socket path that is too long is refused before anything is made`() throws {
        let fixture = try PostgreSQLFixture()
        let usual = try fixture.instance()
        let long = ServiceInstance(
            directory: usual.directory, runDirectory: fixture.directory + "/" + String(repeating: "r", count: 90),
            port: usual.port, user: usual.user, configuration: usual.configuration)
        let error = #expect(throws: HoldfastError.self) { try fixture.adapter.prepare(long) }
        #expect(error?.code == .invalidInput)
        #expect(!FileManager.default.fileExists(atPath: usual.directory))
    }

    @Test func `the lock file of a server that is gone does not keep the next one from starting`() throws {
        let fixture = try PostgreSQLFixture()
        let instance = try fixture.instance()
        try fixture.adapter.prepare(instance)
        // The number of a process that lives and is no server of this data: our own.
        let text = "\(getpid())\n\(instance.dataDirectory)\n1\n\(instance.port)\n\n\n"
        try Data(text.utf8).write(to: URL(fileURLWithPath: instance.dataDirectory + "/postmaster.pid"))
        _ = try fixture.start(instance)
    }

    @Test func `another server at the same socket is not taken for this one`() throws {
        let fixture = try PostgreSQLFixture()
        let one = try fixture.instance(1)
        _ = try fixture.start(one)
        let other = try fixture.instance(2)
        let mixed = ServiceInstance(
            directory: other.directory, runDirectory: one.runDirectory, port: one.port, user: one.user,
            configuration: one.configuration)
        let error = #expect(throws: HoldfastError.self) { try fixture.adapter.isReady(mixed) }
        #expect(error?.code == .conflict)
    }

    @Test func `a look before a backup names open transactions and unlogged tables`() throws {
        let fixture = try PostgreSQLFixture { $0.longTransaction = .zero }
        let instance = try fixture.instance()
        let session = try fixture.application(try fixture.start(instance))
        try session.query("CREATE UNLOGGED TABLE scratch (a int)", timeout: .seconds(10))
        #expect(try fixture.adapter.preflight(instance).openTransactions.isEmpty)
        try session.query("BEGIN", timeout: .seconds(10))
        try session.query("INSERT INTO scratch VALUES (1)", timeout: .seconds(10))
        let found = try fixture.adapter.preflight(instance)
        #expect(found.openTransactions.map(\.state) == ["idle in transaction"])
        #expect(found.openTransactions.map(\.user) == ["main"])
        #expect(found.notices.contains { $0.contains("scratch") })
    }
}

@Suite struct PostgreSQLSessionTests {
    @Test func `values stay values`() throws {
        let fixture = try PostgreSQLFixture()
        let session = try fixture.application(try fixture.start(try fixture.instance()))
        let hostile = "x'; DROP TABLE t; -- \\ \" $1"
        #expect(
            try session.query("SELECT $1::text, $2::text", [hostile, nil], timeout: .seconds(10)) == [[hostile, nil]])
    }

    @Test func `a statement ends at its time-out, by the server's clock or by ours`() throws {
        let fixture = try PostgreSQLFixture()
        let endpoint = try fixture.start(try fixture.instance())
        let session = try fixture.application(endpoint)
        try session.query("SET statement_timeout = 100", timeout: .seconds(10))
        var error = #expect(throws: HoldfastError.self) {
            try session.query("SELECT pg_sleep(60)", timeout: .seconds(30))
        }
        #expect(error?.code == .timedOut)
        #expect(try session.value("SELECT 1", timeout: .seconds(10)) == "1")

        try session.query("SET statement_timeout = 0", timeout: .seconds(10))
        error = #expect(throws: HoldfastError.self) {
            try session.query("SELECT pg_sleep(60)", timeout: .milliseconds(100))
        }
        #expect(error?.code == .timedOut)
        error = #expect(throws: HoldfastError.self) { try session.query("SELECT 1", timeout: .seconds(10)) }
        #expect(error?.code == .unavailable)
        // The server notices by itself that nobody waits any more.
        let other = try fixture.application(endpoint)
        try waitUntil("the abandoned statement has ended") {
            try other.value(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'", timeout: .seconds(10))
                == "0"
        }
    }

    @Test func `closing a session ends the statement of another thread`() throws {
        let fixture = try PostgreSQLFixture()
        let session = try fixture.application(try fixture.start(try fixture.instance()))
        let closer = Thread {
            Thread.sleep(forTimeInterval: 0.2)
            session.close()
        }
        closer.start()
        let error = #expect(throws: HoldfastError.self) {
            try session.query("SELECT pg_sleep(60)", timeout: .seconds(50))
        }
        #expect(error?.code == .cancelled)
    }

    @Test func `a refusal carries its SQLSTATE, and a dead server is unavailable`() throws {
        let fixture = try PostgreSQLFixture()
        let instance = try fixture.instance()
        let session = try fixture.application(try fixture.start(instance))
        var error = #expect(throws: HoldfastError.self) {
            try session.query("SELECT * FROM no_such_table", timeout: .seconds(10))
        }
        #expect((error?.cause as? PostgreSQLFailure)?.sqlState == "42P01")
        try fixture.stop(instance)
        error = #expect(throws: HoldfastError.self) { try session.query("SELECT 1", timeout: .seconds(10)) }
        #expect(error?.code == .unavailable)
        error = #expect(throws: HoldfastError.self) { try fixture.superuser(instance) }
        #expect(error?.code == .unavailable)
    }
}
