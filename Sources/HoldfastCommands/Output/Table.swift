import Foundation
import HoldfastAPI

package enum TableFormat: String, Sendable, CaseIterable {
    case table
    case csv
    case tsv
    case plain
    case json
}

/// One value in a table, before it is text.
package enum Cell: Sendable, Hashable {
    case text(String)
    case flag(Bool)
    case integer(Int64)
    case date(Date?)
    /// What programs get, and how people see it.
    case value(JSONValue, shown: String)
    case none

    /// An array for programs; for people with commas.
    package static func list(_ texts: [String]) -> Cell {
        .value(.array(texts.map(JSONValue.string)), shown: texts.joined(separator: ", "))
    }
}

/// What a list shows: its columns, those shown if nobody chooses, and its rows by column key.
package struct Table: Sendable {
    package struct Column: Sendable {
        package let key: String
        package let header: String
        package let isDefault: Bool
        /// Can be chosen, and is not in what `*` stands for.
        package let isHidden: Bool

        package init(_ key: String, _ header: String, isDefault: Bool = true, isHidden: Bool = false) {
            self.key = key
            self.header = header
            self.isDefault = isDefault
            self.isHidden = isHidden
        }
    }

    package let columns: [Column]
    package let rows: [[String: Cell]]

    package init(columns: [Column], rows: [[String: Cell]]) {
        self.columns = columns
        self.rows = rows
    }
}

/// How to show a table.
package struct TableStyle: Sendable {
    package var format: TableFormat
    /// As given with `--columns`, each perhaps several separated by commas.
    package var columns: [String]
    package var showsHeader: Bool
    package var dates: DateFormat
    /// Columns of the terminal; nil for as wide as needed.
    package var width: Int?

    package init(
        format: TableFormat = .table, columns: [String] = [], showsHeader: Bool = true, dates: DateFormat,
        width: Int? = nil
    ) {
        self.format = format
        self.columns = columns
        self.showsHeader = showsHeader
        self.dates = dates
        self.width = width
    }
}
