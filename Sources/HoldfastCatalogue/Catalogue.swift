// HoldfastCatalogue: what Holdfast remembers — projects, environments, backups, activities, people, tokens, audit.
//
// One SQLite database in WAL mode with every commit flushed; the schema carries the invariants and grows only by
// named migrations. `Catalogue` is the only way in: its methods are synchronous, each is one transaction, and each
// leaves the invariants intact. Records are kept apart from the model's values; nothing of GRDB gets out.

import Foundation
import GRDB
import HoldfastModel
import Synchronization

/// The database. Thread-safe; every method blocks, so none is called on Swift's cooperative pool.
package final class Catalogue: Sendable {
    let pool: DatabasePool
    let time: any TimeSource
    /// Of the database file.
    let path: String
    /// Access tokens that could not be stored because the disk was full; they end with this process.
    let spareTokens = Mutex<[Data: SpareToken]>([:])
    /// Wakes those who watch an activity.
    package let feed = ActivityFeed()
    private let changes = Atomic(0)
    private let report: @Sendable (HoldfastError) -> Void

    /// Opens the database, makes it if there is none, and brings its schema up to date.
    ///
    /// - Parameters:
    ///   - path: of the database file; a new one is readable by its owner only.
    ///   - time: for the time stamps that the catalogue sets itself.
    ///   - report: told about failures of methods that do not throw (log lines and progress).
    /// - Throws: `damaged` if the file is no database, `unsupported` if a newer Holdfast wrote it, `system`.
    package init(
        path: String, time: any TimeSource, report: @escaping @Sendable (HoldfastError) -> Void = { _ in }
    ) throws {
        self.time = time
        self.path = path
        self.report = report
        try Self.makePrivateFile(path)
        var configuration = Configuration()
        configuration.label = "catalogue"
        configuration.foreignKeysEnabled = true
        configuration.busyMode = .timeout(10)
        pool = try Self.mapping(path) { try DatabasePool(path: path, configuration: configuration) }
        try Self.mapping(path) {
            // Not in `prepareDatabase`: the pool sets `NORMAL` after that, when it turns WAL mode on.
            try pool.writeWithoutTransaction { try Durability.flushed.apply(to: $0) }
            try Schema.migrate(pool)
        }
    }

    /// Closes the database; everything else throws afterwards.
    package func close() throws {
        feed.close()
        try Self.mapping(path) { try pool.close() }
    }

    /// Brings what is only in the write-ahead log into the database's file, and empties the log.
    func checkpoint() throws {
        try Self.mapping(path) { try pool.writeWithoutTransaction { _ = try $0.checkpoint(.truncate) } }
    }

    func read<Value>(_ body: (Database) throws -> Value) throws -> Value {
        try Self.mapping(path) { try pool.read(body) }
    }

    /// One transaction, on disk when it returns.
    func write<Value>(_ body: (Database) throws -> Value) throws -> Value {
        let (value, isChanged) = try Self.mapping(path) {
            try pool.write { database in
                let before = database.totalChangesCount
                let value = try body(database)
                return (value, database.totalChangesCount != before)
            }
        }
        if isChanged { changes.wrappingAdd(1, ordering: .releasing) }
        return value
    }

    /// Grows whenever something has changed that is not a log line or progress.
    package var generation: Int { changes.load(ordering: .acquiring) }

    /// One transaction that a power failure may take back, together with nothing else: for log lines and progress,
    /// of which there may be thousands. Never throws; failures are reported.
    func writeLightly(_ body: (Database) throws -> Void) {
        do {
            try Self.mapping(path) {
                try pool.writeWithoutTransaction { database in
                    try Durability.ordered.apply(to: database)
                    defer { restoreDurability(of: database) }
                    try database.inTransaction {
                        try body(database)
                        return .commit
                    }
                }
            }
        } catch {
            report(error as? HoldfastError ?? HoldfastError(.system, "cannot write to the catalogue", cause: error))
        }
    }

    /// SQLite's number for what a commit waits for: 2 is `FULL`. For tests.
    package func synchronousMode() throws -> Int {
        try Self.mapping(path) {
            try pool.writeWithoutTransaction { try Int.fetchOne($0, sql: "PRAGMA synchronous") ?? -1 }
        }
    }

    /// Lets the database grow no further, as a full disk does. For tests.
    package func stopGrowth() throws {
        try Self.mapping(path) {
            try pool.writeWithoutTransaction { database in
                let pages = try Int.fetchOne(database, sql: "PRAGMA page_count") ?? 1
                try database.execute(sql: "PRAGMA max_page_count = \(pages)")
            }
        }
    }

    private func restoreDurability(of database: Database) {
        do {
            try Durability.flushed.apply(to: database)
        } catch {
            report(HoldfastError(.internalFault, "cannot make commits durable again", cause: error))
        }
    }

    /// What a commit waits for. GRDB opens WAL databases with `NORMAL`: then a power failure takes back commits that
    /// were reported.
    private enum Durability: String {
        case flushed = "FULL"
        case ordered = "NORMAL"

        func apply(to database: Database) throws { try database.execute(sql: "PRAGMA synchronous = \(rawValue)") }
    }

    private static func makePrivateFile(_ path: String) throws {
        let files = FileManager.default
        guard !files.fileExists(atPath: path) else { return }
        guard files.createFile(atPath: path, contents: nil, attributes: [.posixPermissions: 0o600]) else {
            throw HoldfastError(
                .system, "cannot make the catalogue '\(path)'",
                hint: "Check that its folder exists and belongs to the user that runs Holdfast")
        }
    }

    /// The only place that turns the database's errors into ours.
    static func mapping<Value>(_ path: String, _ body: () throws -> Value) throws -> Value {
        do {
            return try body()
        } catch let error as HoldfastError {
            throw error
        } catch let error as DatabaseError {
            throw holdfastError(error, path)
        } catch {
            throw HoldfastError(.system, "the catalogue failed", cause: error)
        }
    }

    private static func holdfastError(_ error: DatabaseError, _ path: String) -> HoldfastError {
        let text = error.message ?? "no message"
        switch error.resultCode {
        case .SQLITE_CONSTRAINT: return HoldfastError(.conflict, "the catalogue refuses this: \(text)")
        case .SQLITE_FULL:
            return HoldfastError(
                .noSpace, "no space left for the catalogue '\(path)'",
                hint: "Free some space on its disk, then try again; lists can be read meanwhile")
        case .SQLITE_CORRUPT, .SQLITE_NOTADB:
            return HoldfastError(
                .damaged, "the catalogue is damaged: \(text)", hint: "Put back a copy of catalogue.sqlite")
        case .SQLITE_BUSY, .SQLITE_LOCKED:
            return HoldfastError(.locked, "the catalogue is locked by another process", cause: nil)
        default: return HoldfastError(.system, "the catalogue failed with \(error.extendedResultCode): \(text)")
        }
    }
}
