import Foundation
import HoldfastEnvironments
import HoldfastModel
import Testing

@Suite struct PostgreSQLPagesTests {
    @Test func `pages that a server wrote are right; a flipped bit or a page in another's place is found`() throws {
        let fixture = try PostgreSQLFixture()
        let source = try fixture.instance()
        let file = try makeTable(fixture, source)
        try fixture.stop(source)
        let pages = PostgreSQLPages(
            try GuardedDirectory(source.dataDirectory), pageSize: 8192, pagesPerFile: 131_072)
        let whole = try pages.check()
        #expect(whole.wrongPages == 0 && whole.pages > 500)

        let path = "\(source.dataDirectory)/\(file)"
        try change(path) { bytes in
            bytes[3 * 8192 + 5000] ^= 1
            // Right in itself, but not here.
            bytes.replaceSubrange(5 * 8192..<6 * 8192, with: bytes[4 * 8192..<5 * 8192])
            // New ones have no checksum, and a part of one is none.
            bytes += [UInt8](repeating: 0, count: 8192) + [1, 2, 3]
        }
        let broken = try pages.check()
        #expect(broken.pages == whole.pages && broken.wrongPages == 2)
        #expect(broken.wrong.map(\.description) == ["block 3 of \(file)", "block 5 of \(file)"])
    }

    @Test func `a broken page is named by the backup that copies it, and fails the check of what is restored`() throws {
        let fixture = try PostgreSQLFixture()
        let source = try fixture.instance(1)
        let file = try makeTable(fixture, source)
        let first = try fixture.adapter.beginBackup(source, label: "first")
        #expect(first.damage().isEmpty)
        first.close()

        // The server does not notice: it has the page in its memory.
        try change("\(source.dataDirectory)/\(file)") { $0[3 * 8192 + 5000] ^= 1 }
        let second = try fixture.adapter.beginBackup(source, label: "second")
        // As often as it is asked, not only when the file has just changed.
        for _ in 1...2 { #expect(second.damage().first?.contains("block 3 of \(file)") == true) }
        second.close()

        let target = try fixture.instance(2)
        let mark = try takeBackup(fixture.adapter, source, into: target, marking: { try $0() }).mark
        try fixture.adapter.prepareRestore(target, manifest: fixture.manifest(source, mark: mark))
        try fixture.launch(target)
        let error = #expect(throws: HoldfastError.self) { try fixture.adapter.verify(target) }
        #expect(error?.code == .damaged)
        #expect(error?.message.contains("block 3 of \(file)") == true)
    }

    @Test func `files of relations are told from others, with their place in the relation`() {
        let parts = ["16384": 0, "16384.2": 2, "16384_fsm": 0, "16384_vm.1": 1, "16384_init": 0]
        for (name, part) in parts { #expect(PostgreSQLPages.part(name) == part) }
        let others = [
            "PG_VERSION", "pg_filenode.map", "pg_internal.init", "pg_control", "t3_16384", "16384_x", "16384.",
            "16384.x", "16384.1.1", "16384.9223372036854775807", "", "_fsm",
        ]
        for name in others { #expect(PostgreSQLPages.part(name) == nil, "\(name)") }
    }
}

/// A table of some pages that nobody looks at by himself, written to its file.
///
/// - Returns: the file, relative to the data directory.
private func makeTable(_ fixture: PostgreSQLFixture, _ source: ServiceInstance) throws -> String {
    let application = try fixture.application(try fixture.start(source))
    try application.query(
        """
        CREATE TABLE t WITH (autovacuum_enabled = false)
        AS SELECT n AS x, repeat('x', 500) AS filler FROM generate_series(1, 200) AS n
        """, timeout: .seconds(30))
    // The first reader of a row writes to it.
    #expect(try application.value("SELECT count(*) FROM t", timeout: .seconds(30)) == "200")
    let file = try application.value("SELECT pg_relation_filepath('t')", timeout: .seconds(30))
    try fixture.superuser(source).query("CHECKPOINT", timeout: .seconds(60))
    return file
}

/// Changes bytes of a file in its place.
private func change(_ path: String, _ body: (inout [UInt8]) -> Void) throws {
    let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
    defer { try? file.close() }
    var bytes = [UInt8](try #require(try file.readToEnd()))
    body(&bytes)
    try file.seek(toOffset: 0)
    try file.write(contentsOf: Data(bytes))
}
