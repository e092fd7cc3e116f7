import Foundation
import HoldfastEnvironments
import HoldfastModel
import Synchronization
import Testing

/// What every adapter must do, with a real server.
@Suite struct ServiceContractTests {
    @Test(arguments: ContractKind.all)
    func `a service starts from nothing, is used with what its endpoint says, and leaves nothing running`(
        kind: ContractKind
    ) throws {
        let fixture = try ContractFixture(kind)
        var instance = try fixture.instance()
        #expect(try !fixture.adapter.isReady(instance))
        let endpoint = try fixture.start(&instance)
        #expect(endpoint.host == "127.0.0.1" && endpoint.port == instance.port)
        let client = try fixture.client(endpoint)
        for number in 1...3 { try client.write(number) }
        #expect(try client.events() == [1, 2, 3])
        #expect(try fixture.adapter.afterStart(instance) == endpoint)
        if kind.type != "binary" {
            let wanted = instance.type.version
            #expect(try fixture.adapter.serverVersion(instance).hasPrefix(wanted + "."))
        }
        if kind.hasPassword {
            var wrong = endpoint
            wrong.password = Secret("wrong")
            #expect(throws: HoldfastError.self) { try fixture.client(wrong) }
            #expect(!fixture.logText.contains(endpoint.password.reveal()))
            let command = try fixture.adapter.command(instance)
            #expect(!command.arguments.contains { $0.contains(endpoint.password.reveal()) })
        }
        var status = stat()
        #expect(stat(instance.dataDirectory, &status) == 0)
        #expect(status.st_uid == instance.user.uid)
        try fixture.stop(instance)
    }

    @Test(arguments: ContractKind.all)
    func `starting again keeps the password, and the data where it is to be kept`(kind: ContractKind) throws {
        let fixture = try ContractFixture(kind)
        var instance = try fixture.instance()
        let endpoint = try fixture.start(&instance)
        let client = try fixture.client(endpoint)
        for number in 1...50 { try client.write(number) }
        try fixture.stop(instance)
        let again = try fixture.start(&instance)
        #expect(again == endpoint)
        #expect(try fixture.client(endpoint).events() == (kind.isPersistent ? Array(1...50) : []))
    }

    @Test(arguments: ContractKind.persistent)
    func `what a service has acknowledged survives kill -9`(kind: ContractKind) throws {
        let fixture = try ContractFixture(kind)
        var instance = try fixture.instance()
        let endpoint = try fixture.start(&instance)
        let client = try fixture.client(endpoint)
        for number in 1...200 { try client.write(number) }
        // Redis may keep back its log for up to two seconds while the disk is busy with an fsync.
        if kind.type.hasPrefix("redis") { try Self.waitForLog(fixture, instance) }
        try fixture.kill(instance)
        let again = try fixture.start(&instance)
        #expect(again == endpoint)
        #expect(try fixture.client(endpoint).events() == Array(1...200))
    }

    @Test(arguments: ContractKind.all)
    func `a copy taken in a hold comes up with exactly what was committed at its mark`(kind: ContractKind) throws {
        let fixture = try ContractFixture(kind)
        var source = try fixture.instance(1)
        let endpoint = try fixture.start(&source)
        let writer = ContractWriter(try fixture.client(endpoint))
        writer.resume()
        try writer.waitForMore(150)
        var target = try fixture.instance(2)
        let committed = Mutex(0)
        _ = try fixture.adapter.preflight(source)
        let backup = try fixture.take(source, into: target) { mark in
            try writer.waitForMore(50)
            writer.pause()
            committed.withLock { $0 = writer.committed }
            let fields = try mark()
            writer.resume()
            try writer.waitForMore(50)
            return fields
        }
        writer.pause()
        #expect(try fixture.client(endpoint).events() == Array(1...writer.committed))
        try Self.expectNothingLeft(source)
        // What a backup would have said of itself before.
        #expect(try fixture.adapter.forecast(source).method == backup.method)

        #expect(!FileManager.default.fileExists(atPath: target.dataDirectory + "/scratch"))

        let restored = try fixture.client(try fixture.restore(backup, into: &target))
        let expected = kind.isPersistent ? Array(1...committed.withLock { $0 }) : []
        #expect(try restored.events() == expected)
        #expect(try restored.inconsistency() == nil)
        // The old and the new one run beside each other, and are two.
        try restored.write(expected.count + 1)
        #expect(try fixture.client(endpoint).events().count == writer.committed)
    }

    @Test(arguments: ContractKind.persistent)
    func `a live mark under writers keeps all from before it and nothing from after it`(kind: ContractKind) throws {
        let fixture = try ContractFixture(kind)
        var source = try fixture.instance(1)
        let writer = ContractWriter(try fixture.client(try fixture.start(&source)))
        writer.resume()
        try writer.waitForMore(50)
        let before = Mutex(0)
        let after = Mutex(0)
        var target = try fixture.instance(2)
        let backup = try fixture.take(source, into: target) { mark in
            before.withLock { $0 = writer.committed }
            let fields = try mark()
            // One more may have been under way when the mark returned.
            after.withLock { $0 = writer.committed + 1 }
            try writer.waitForMore(50)
            return fields
        }
        writer.pause()
        let restored = try fixture.client(try fixture.restore(backup, into: &target))
        let events = try restored.events()
        #expect(events == Array(1...events.count))
        #expect(events.count >= before.withLock { $0 } && events.count <= after.withLock { $0 })
        #expect(try restored.inconsistency() == nil)
    }

    @Test(arguments: ContractKind.persistent)
    func `a restored service can be stopped, started, backed up and restored again`(kind: ContractKind) throws {
        let fixture = try ContractFixture(kind)
        var source = try fixture.instance(1)
        var endpoint = try fixture.start(&source)
        try fixture.client(endpoint).write(1)
        for number in 2...(kind.isSlow ? 2 : 3) {
            var target = try fixture.instance(number)
            let backup = try fixture.take(source, into: target)
            endpoint = try fixture.restore(backup, into: &target)
            try fixture.client(endpoint).write(number)
            try fixture.stop(target)
            let again = try fixture.start(&target)
            #expect(again == endpoint)
            #expect(try fixture.client(endpoint).events() == Array(1...number))
            source = target
        }
    }

    @Test(arguments: ContractKind.quick)
    func `one backup at a time; one that is given up leaves nothing, and the service goes on`(
        kind: ContractKind
    ) throws {
        let fixture = try ContractFixture(kind)
        var source = try fixture.instance(1)
        let client = try fixture.client(try fixture.start(&source))
        let first = try fixture.adapter.beginBackup(source, label: "first")
        var error = #expect(throws: HoldfastError.self) {
            try fixture.adapter.beginBackup(source, label: "second")
        }
        #expect(error?.code == .locked)
        error = #expect(throws: HoldfastError.self) { try first.collect(into: fixture.directory) }
        #expect(error?.code == .conflict)
        first.close()
        first.close()
        error = #expect(throws: HoldfastError.self) { try first.mark() }
        #expect(error?.code == .cancelled)

        let second = try fixture.adapter.beginBackup(source, label: "second")
        _ = try second.mark()
        error = #expect(throws: HoldfastError.self) { try second.mark() }
        #expect(error?.code == .conflict)
        second.close()
        try Self.expectNothingLeft(source)
        try client.write(1)
        #expect(try client.events() == [1])
    }

    @Test(arguments: ContractKind.persistent)
    func `a server that is killed during its backup fails it, and the next backup is good`(kind: ContractKind) throws {
        let fixture = try ContractFixture(kind)
        var source = try fixture.instance(1)
        try fixture.client(try fixture.start(&source)).write(1)
        let session = try fixture.adapter.beginBackup(source, label: "lost")
        try fixture.kill(source)
        let error = #expect(throws: HoldfastError.self) { try session.mark() }
        #expect(error?.code == .unavailable)
        session.close()
        try Self.expectNothingLeft(source)
        _ = try fixture.start(&source)
        var target = try fixture.instance(2)
        let backup = try fixture.take(source, into: target)
        #expect(try fixture.client(try fixture.restore(backup, into: &target)).events() == [1])
    }

    @Test(arguments: ContractKind.all.filter(\.knowsItsData))
    func `data that is not the service's is refused with its reason, and left alone`(kind: ContractKind) throws {
        let fixture = try ContractFixture(kind)
        let instance = try fixture.instance()
        try FileManager.default.createDirectory(atPath: instance.dataDirectory, withIntermediateDirectories: true)
        let precious = instance.dataDirectory + "/precious"
        try Data("x".utf8).write(to: URL(fileURLWithPath: precious))
        let error = #expect(throws: HoldfastError.self) { try fixture.adapter.prepare(instance) }
        #expect(error?.code == .damaged)
        #expect(error?.message.contains("'data'") == true && error?.hint != nil)
        #expect(FileManager.default.fileExists(atPath: precious))
    }

    @Test(arguments: ContractKind.all)
    func `a data directory that is a link is not followed`(kind: ContractKind) throws {
        let fixture = try ContractFixture(kind)
        let instance = try fixture.instance()
        let elsewhere = fixture.directory + "/elsewhere"
        for path in [elsewhere, instance.directory] {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        }
        symlink(elsewhere, instance.dataDirectory)
        let error = #expect(throws: HoldfastError.self) { try fixture.adapter.prepare(instance) }
        #expect(error?.code == .damaged)
        #expect(try FileManager.default.contentsOfDirectory(atPath: elsewhere).isEmpty)
    }

    @Test(arguments: ContractKind.all.filter { $0.type != "binary" })
    func `a version that is not installed is refused with the way to get it`(kind: ContractKind) throws {
        let fixture = try ContractFixture(kind)
        let name = kind.type.prefix { $0 != ":" }
        let error = #expect(throws: HoldfastError.self) {
            try fixture.adapter.prepare(try fixture.instance(type: "\(name):99"))
        }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("\(name):99") == true && error?.hint != nil)
    }

    @Test(arguments: ContractKind.quick)
    func `a backup of another kind, or that lacks a file, is refused`(kind: ContractKind) throws {
        let fixture = try ContractFixture(kind)
        var source = try fixture.instance(1)
        try fixture.client(try fixture.start(&source)).write(1)
        let target = try fixture.instance(2)
        let backup = try fixture.take(source, into: target)
        var other = backup
        other.type = "other:1"
        var error = #expect(throws: HoldfastError.self) { try fixture.adapter.prepareRestore(target, manifest: other) }
        #expect(error?.code == .unsupported)
        other = backup
        other.method = "logical"
        error = #expect(throws: HoldfastError.self) { try fixture.adapter.prepareRestore(target, manifest: other) }
        #expect(error?.code == .unsupported)

        let lost = [
            "postgresql": "backup_label", "mariadb": "ibdata1",
            "redis-persistent": "appendonlydir/appendonly.aof.1.base.rdb",
            "influxdb": "meta/meta.db", "binary": "first",
        ]
        let path = target.dataDirectory + "/" + (lost[source.type.name] ?? "?")
        try FileManager.default.removeItem(atPath: path)
        error = #expect(throws: HoldfastError.self) { try fixture.adapter.prepareRestore(target, manifest: backup) }
        #expect(error?.code == .damaged)
    }

    /// Neither files nor a process that stands still.
    static func expectNothingLeft(_ instance: ServiceInstance) throws {
        #expect(!FileManager.default.fileExists(atPath: instance.directory + "/hold"))
        let members = ProcessTable.all().filter { $0.session == instance.leader?.pid }
        #expect(!members.contains { $0.state == "T" })
    }

    private static func waitForLog(_ fixture: ContractFixture, _ instance: ServiceInstance) throws {
        let session = try RedisAdapter().session(instance)
        defer { session.close() }
        try waitUntil("the log is written") {
            let fields = try session.info("persistence", timeout: .seconds(10))
            return fields["aof_buffer_length"] == "0" && fields["aof_pending_bio_fsync"] == "0"
        }
    }
}
