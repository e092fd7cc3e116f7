import Foundation

/// One row of `Benchmarks/hold.json`: what n consistent backups of one environment have cost its requests.
package struct HoldRow: Codable, Sendable {
    /// Files on the mount beside those that the ledger writes.
    package var files: Int
    package var databaseMB: Int
    package var filesystem: String
    /// Types of the environment's services.
    package var services: [String]
    package var n: Int
    /// From gate closed to gate open, the drain included.
    package var holdP50: Double
    package var holdP99: Double
    package var holdMax: Double
    package var requestsHeld: Int
    package var dropped: Int
    /// Refused before they reached the app.
    package var refused: Int
    /// Holds that were begun and did not come to a mark; what they held is in no other column.
    package var furtherTries: Int
    /// Of the load: requests a second, and how long those that were not held took.
    package var load: Double
    package var requestP50: Double
    package var requestP99: Double
    /// Where the time of a hold went: medians.
    package var drainP50: Double
    package var freezeP50: Double
    package var marksP50: Double
    package var markP50: [String: Double]
    package var releaseP50: Double

    enum CodingKeys: String, CodingKey {
        case files, filesystem, services, n, dropped, refused
        case databaseMB = "database_mb"
        case holdP50 = "hold_ms_p50"
        case holdP99 = "hold_ms_p99"
        case holdMax = "hold_ms_max"
        case requestsHeld = "requests_held"
        case furtherTries = "further_tries"
        case load = "requests_per_second"
        case requestP50 = "request_ms_p50"
        case requestP99 = "request_ms_p99"
        case drainP50 = "drain_ms_p50"
        case freezeP50 = "freeze_ms_p50"
        case marksP50 = "marks_ms_p50"
        case markP50 = "mark_ms_p50"
        case releaseP50 = "release_ms_p50"
    }
}

/// The rows as a table for people.
enum HoldTable {
    private static let columns = [
        "files", "database", "services", "on", "n", "hold p50", "p99", "max", "of it drain", "freeze", "marks",
        "release", "held",
        "dropped", "requests/s", "their p50", "p99",
    ]

    static var head: String { line(columns) }

    static func line(_ row: HoldRow) -> String {
        line([
            "\(row.files)", "\(row.databaseMB) MB", "\(row.services.count)", row.filesystem, "\(row.n)",
            milliseconds(row.holdP50), milliseconds(row.holdP99), milliseconds(row.holdMax), milliseconds(row.drainP50),
            milliseconds(row.freezeP50), milliseconds(row.marksP50), milliseconds(row.releaseP50),
            "\(row.requestsHeld)", "\(row.dropped)", "\(Int(row.load.rounded()))", milliseconds(row.requestP50),
            milliseconds(row.requestP99),
        ])
    }

    private static func milliseconds(_ value: Double) -> String { String(format: "%.1f ms", value) }

    private static func line(_ cells: [String]) -> String {
        zip(cells, columns).map { cell, column in
            String(repeating: " ", count: max(0, max(9, column.count) - cell.count)) + cell
        }.joined(separator: "  ")
    }
}
