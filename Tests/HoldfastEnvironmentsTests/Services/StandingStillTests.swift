import Foundation
import HoldfastEnvironments
import HoldfastModel
import Testing

/// However a mark goes wrong, the service goes on soon.
@Suite struct StandingStillTests {
    @Test(arguments: ContractKind.quick)
    func `a mark whose end has come fails, and the service goes on`(kind: ContractKind) throws {
        let fixture = try ContractFixture(kind)
        var source = try fixture.instance()
        let client = try fixture.client(try fixture.start(&source))
        try client.write(1)
        let session = try fixture.adapter.beginBackup(source, label: "late")
        defer { session.close() }
        let now = SystemTime().monotonicNanoseconds()
        let error = #expect(throws: HoldfastError.self) { try session.mark(until: now) }
        #expect(error?.code == .timedOut)
        try ServiceContractTests.expectNothingLeft(source)
        try client.write(2)
        #expect(try client.events() == [1, 2])
    }

    @Test func `a mark whose time is up while files are copied leaves no copies`() throws {
        let fixture = try ContractFixture(try kind("binary"))
        var source = try fixture.instance()
        let client = try fixture.client(try fixture.start(&source))
        try client.write(1)
        var options = FrozenOptions()
        options.time = LateClock(path: source.directory + "/hold")
        let session = try BinaryAdapter(options: options).beginBackup(source, label: "late")
        defer { session.close() }
        try client.write(2)
        let error = #expect(throws: HoldfastError.self) { try session.mark() }
        #expect(error?.code == .timedOut)
        // Before the session is closed.
        try ServiceContractTests.expectNothingLeft(source)
        try client.write(3)
        #expect(try client.events() == [1, 2, 3])
    }

    @Test func `what a mark would copy aside is known before it, without holes and without what is left out`() throws {
        let fixture = try ContractFixture(try kind("binary"))
        var source = try fixture.instance()
        let client = try fixture.client(try fixture.start(&source))
        try client.write(1)
        let session = try fixture.adapter.beginBackup(source, label: "room")
        defer { session.close() }
        let before = try #require(session.stagingNeed())
        let data = URL(fileURLWithPath: source.dataDirectory)
        let large = Data((0..<(1 << 20)).map { _ in UInt8.random(in: 0...255) })
        try large.write(to: data.appendingPathComponent("large"))
        try large.write(to: data.appendingPathComponent("scratch/left-out"))
        try Data().write(to: data.appendingPathComponent("hole"))
        #expect(truncate(data.appendingPathComponent("hole").path, 8 << 20) == 0)
        let need = try #require(session.stagingNeed())
        #expect(need.folder == source.directory && need.source == source.dataDirectory)
        let added = need.bytes - before.bytes
        #expect(added >= 1 << 20 && added < 2 << 20, "\(added)")
        // Nothing more comes after the mark.
        _ = try session.mark()
        #expect(session.stagingNeed() == nil)
        try client.write(2)
        #expect(try client.events() == [1, 2])
    }

    @Test func `stages of MariaDB that nobody lowers end by themselves, and commits go on`() throws {
        let fixture = try ContractFixture(try kind("mariadb"))
        var source = try fixture.instance()
        let client = try fixture.client(try fixture.start(&source))
        try client.write(1)
        let adapter = MariaDBAdapter()
        let fence = MariaDBFence(
            stages: try adapter.session(source), writer: try adapter.session(source), service: "data",
            options: MariaDBAdapter.Options())
        defer { fence.close() }
        try fence.begin()
        _ = try fence.raise(until: SystemTime().monotonicNanoseconds() + 6_000_000_000)
        // Its connection stays open, as that of a control plane that hangs; a write waits half a minute for it.
        try client.write(2)
        #expect(try client.events() == [1, 2])
    }

    @Test func `a mark of MariaDB that is kept waiting names what was open, and no statement's text`() throws {
        let fixture = try ContractFixture(try kind("mariadb"))
        var source = try fixture.instance()
        let client = try fixture.client(try fixture.start(&source))
        try client.write(1)
        var options = MariaDBAdapter.Options()
        options.blockersTimeout = .seconds(30)
        let session = try MariaDBAdapter(options: options).beginBackup(source, label: "late")
        defer { session.close() }
        let patience = Duration.seconds(60)
        let (other, busy) = (try MariaDBAdapter().session(source), try MariaDBAdapter().session(source))
        defer { other.close() }
        try other.query("START TRANSACTION", timeout: patience)
        try other.query("REPLACE INTO holdfast.marks VALUES (1, 'confidential')", timeout: patience)
        let (transaction, statement) = (other.number, busy.number)
        Thread { _ = try? busy.query("SELECT SLEEP(120), 'confidential'", timeout: .seconds(150)) }.start()
        defer { busy.close() }
        try waitUntil("the statement runs") {
            try other.value(
                "SELECT COUNT(*) FROM information_schema.processlist WHERE id = \(statement) AND command = 'Query'",
                timeout: patience) == "1"
        }
        let error = #expect(throws: HoldfastError.self) { try session.mark(until: nil) }
        #expect(error?.code == .timedOut)
        let message = error?.message ?? ""
        #expect(message.contains("(process \(transaction)), open for "), "\(message)")
        #expect(message.contains("(process \(statement)), running for "), "\(message)")
        #expect(!String(describing: error).contains("confidential"))
        // What it waited for is still there, and the service goes on.
        try client.write(2)
        #expect(try client.events() == [1, 2])
    }

    private func kind(_ name: String) throws -> ContractKind {
        try #require(ContractKind.all.first { $0.type.hasPrefix(name) })
    }
}

/// An hour passes as soon as there is something at a path.
private struct LateClock: TimeSource {
    let path: String

    func now() -> Date { SystemTime().now() }

    func monotonicNanoseconds() -> UInt64 {
        SystemTime().monotonicNanoseconds() + (access(path, F_OK) == 0 ? 3_600_000_000_000 : 0)
    }
}
