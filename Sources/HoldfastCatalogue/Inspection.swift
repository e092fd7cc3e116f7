import Foundation
import GRDB
import HoldfastModel

/// What can be said of a catalogue without changing it.
package struct CatalogueInspection: Sendable, Hashable {
    package enum Schema: Sendable { case older, current, newer }

    /// What SQLite finds wrong with the file; empty if it is whole.
    package var problems: [String]
    package var schema: Schema
    /// When something was written in it last, by the clock of then.
    package var newestRecord: Date?
}

extension Catalogue {
    /// Looks at a database file, which a server may have open.
    ///
    /// - Throws: `notFound` if there is none, `damaged` if it is no database.
    package static func inspect(_ path: String) throws -> CatalogueInspection {
        guard FileManager.default.fileExists(atPath: path) else {
            throw HoldfastError(.notFound, "there is no catalogue '\(path)'")
        }
        var configuration = Configuration()
        configuration.readonly = true
        configuration.busyMode = .timeout(10)
        return try mapping(path) {
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            defer { try? queue.close() }
            return try queue.read { database in
                var problems = try String.fetchAll(database, sql: "PRAGMA integrity_check(20)").filter { $0 != "ok" }
                let orphans = try Row.fetchAll(database, sql: "PRAGMA foreign_key_check")
                for row in orphans.prefix(20) {
                    problems.append("a row of \(row[0] as String? ?? "a table") refers to nothing")
                }
                let migrator = HoldfastCatalogue.Schema.migrator
                let schema: CatalogueInspection.Schema =
                    try migrator.hasBeenSuperseded(database)
                    ? .newer : try migrator.hasCompletedMigrations(database) ? .current : .older
                let newest =
                    schema == .current
                    ? try Int64.fetchOne(
                        database,
                        sql: """
                            SELECT max(at) FROM (
                                SELECT max(updated_at) AS at FROM activity UNION SELECT max(created_at) FROM backup)
                            """) : nil
                return CatalogueInspection(problems: problems, schema: schema, newestRecord: newest.map(Column.date))
            }
        }
    }
}
