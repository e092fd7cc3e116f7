import Foundation
import HoldfastAPI
import HoldfastModel

/// Turns tables into text; the only place that does.
package enum TableRenderer {
    /// - Returns: text with a newline at its end.
    /// - Throws: `invalidInput` for a column that does not exist.
    package static func render(_ table: Table, _ style: TableStyle) throws -> String {
        if style.format == .json { return try json(table, style) }
        let columns = try ColumnSelection.select(style.columns, from: table.columns)
        let header = columns.map(\.header)
        let isForPeople = style.format == .table || style.format == .plain
        let rows = table.rows.map { row in
            columns.map { column in
                let cell = text(row[column.key] ?? .none, style.dates)
                return isForPeople ? PlainText.lines(cell) : cell
            }
        }
        let all = (style.showsHeader ? [header] : []) + rows
        switch style.format {
        case .table: return boxed(header: style.showsHeader ? header : nil, rows, width: style.width)
        case .csv: return all.map { $0.map { quoted($0, separator: ",") }.joined(separator: ",") + "\n" }.joined()
        case .tsv: return all.map { $0.map { quoted($0, separator: "\t") }.joined(separator: "\t") + "\n" }.joined()
        case .plain: return all.map { $0.map(flat).joined(separator: "\t") + "\n" }.joined()
        case .json: return ""
        }
    }

    private static func text(_ cell: Cell, _ dates: DateFormat) -> String {
        switch cell {
        case .text(let text): text
        case .flag(let flag): flag ? "true" : "false"
        case .integer(let number): String(number)
        case .date(let date): date.map(dates.text) ?? ""
        case .value(_, let shown): shown
        case .none: ""
        }
    }

    /// All columns, or those that were chosen; values keep their types, dates are ISO 8601.
    private static func json(_ table: Table, _ style: TableStyle) throws -> String {
        let isChosen = !style.columns.isEmpty
        let columns = isChosen ? try ColumnSelection.select(style.columns, from: table.columns) : table.columns
        let dates = DateFormat(pattern: "c", timeZone: style.dates.timeZone)
        let rows = table.rows.map { row in
            let pairs = columns.filter { isChosen || !$0.isHidden }.map { column -> (String, JSONValue) in
                switch row[column.key] ?? .none {
                case .text(let text): (column.key, .string(text))
                case .flag(let flag): (column.key, .bool(flag))
                case .integer(let number): (column.key, .integer(number))
                case .date(let date?): (column.key, .string(dates.text(date)))
                case .value(let value, _): (column.key, value)
                case .date(nil), .none: (column.key, .null)
                }
            }
            return JSONValue.object(Dictionary(pairs) { first, _ in first })
        }
        return try PropertyRenderer.json(.array(rows))
    }

    /// RFC 4180: quoted if it has the separator, a quote or a line break.
    private static func quoted(_ text: String, separator: Character) -> String {
        guard text.contains(where: { $0 == separator || $0 == "\"" || $0.isNewline }) else { return text }
        return "\"" + text.replacingOccurrences(of: "\"", with: "\"\"") + "\""
    }

    private static func flat(_ text: String) -> String {
        String(text.map { $0 == "\t" || $0.isNewline ? " " : $0 })
    }

    private static func boxed(header: [String]?, _ rows: [[String]], width: Int?) -> String {
        let all = (header.map { [$0] } ?? []) + rows
        let count = all.first?.count ?? 0
        let natural = (0..<count).map { index in
            all.map { $0[index].split(whereSeparator: \.isNewline).map(TextWidth.of).max() ?? 0 }.max() ?? 0
        }
        let widths = fitted(natural, total: width.map { $0 - 3 * count - 1 })
        let border = "+" + widths.map { String(repeating: "-", count: $0 + 2) + "+" }.joined() + "\n"
        func lines(_ row: [String]) -> String {
            let cells = zip(row, widths).map { wrapped($0, $1) }
            return (0..<(cells.map(\.count).max() ?? 1)).map { number in
                let parts = zip(cells, widths).map { cell, width in
                    let text = number < cell.count ? cell[number] : ""
                    return " " + text + String(repeating: " ", count: max(0, width - TextWidth.of(text))) + " |"
                }
                return "|" + parts.joined() + "\n"
            }.joined()
        }
        let head = header.map { lines($0) + border } ?? ""
        return border + head + rows.map(lines).joined() + (rows.isEmpty ? "" : border)
    }

    /// Takes from the widest columns until all fit; no column gets narrower than 6.
    private static func fitted(_ widths: [Int], total: Int?) -> [Int] {
        guard let total else { return widths }
        var result = widths
        while result.reduce(0, +) > total, let widest = result.max(), widest > 6,
            let index = result.firstIndex(of: widest)
        {
            result[index] -= 1
        }
        return result
    }

    /// Breaks at blanks where it can, within a word where it must.
    private static func wrapped(_ text: String, _ width: Int) -> [String] {
        var lines: [String] = []
        for paragraph in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline) {
            var line = ""
            for word in paragraph.split(separator: " ", omittingEmptySubsequences: false) {
                if !line.isEmpty, TextWidth.of(line) + 1 + TextWidth.of(word) > width {
                    lines.append(line)
                    line = ""
                }
                line += (line.isEmpty ? "" : " ") + word
                while TextWidth.of(line) > max(1, width) {
                    let head = TextWidth.prefix(of: line, width: max(1, width))
                    lines.append(head)
                    line = String(line.dropFirst(head.count))
                }
            }
            lines.append(line)
        }
        return lines
    }
}
