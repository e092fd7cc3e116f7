import Foundation
import HoldfastModel

/// Chooses the columns of a table from what was given with `--columns`.
enum ColumnSelection {
    /// - Parameters:
    ///   - wanted: names, separated by commas; one with `+` in front adds all to the default ones; `*` and `%` stand
    ///     for any text.
    /// - Throws: `invalidInput` naming a column that does not exist, and those that do.
    static func select(_ wanted: [String], from columns: [Table.Column]) throws -> [Table.Column] {
        let names = wanted.flatMap { $0.split(separator: ",") }
            .map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
        guard !names.isEmpty else { return columns.filter(\.isDefault) }
        let isAddition = names.contains { $0.hasPrefix("+") }
        var chosen = isAddition ? columns.filter(\.isDefault) : []
        for name in names {
            let bare = name.hasPrefix("+") ? String(name.dropFirst()) : name
            for column in try matches(bare, in: columns) where !chosen.contains(where: { $0.key == column.key }) {
                chosen.append(column)
            }
        }
        return chosen
    }

    private static func matches(_ name: String, in columns: [Table.Column]) throws -> [Table.Column] {
        let pieces = name.lowercased().split(
            omittingEmptySubsequences: false, whereSeparator: { $0 == "*" || $0 == "%" }
        ).map(String.init)
        let found = columns.filter { column in
            pieces.count == 1 ? column.key == pieces[0] : !column.isHidden && fits(column.key, pieces)
        }
        guard !found.isEmpty else {
            let known = columns.filter { !$0.isHidden }.map(\.key).joined(separator: ", ")
            throw HoldfastError(.invalidInput, "column '\(name)' does not exist", hint: "Choose among \(known)")
        }
        return found
    }

    /// Whether the key is the pieces in that order with any text between them.
    private static func fits(_ key: String, _ pieces: [String]) -> Bool {
        guard let first = pieces.first, let last = pieces.last, key.hasPrefix(first), key.hasSuffix(last),
            key.count >= first.count + last.count
        else { return false }
        var rest = key.dropFirst(first.count).dropLast(last.count)
        for piece in pieces.dropFirst().dropLast() where !piece.isEmpty {
            guard let range = rest.range(of: piece) else { return false }
            rest = rest[range.upperBound...]
        }
        return true
    }
}
