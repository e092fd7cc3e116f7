import Foundation
import HoldfastAPI
import HoldfastClient
import HoldfastModel

extension Session {
    /// Shows a list; the heading goes to standard error and only above a table.
    package func show(_ table: Table, _ options: TableOptions, heading: String) throws {
        let style = TableStyle(
            format: options.format, columns: options.columns, showsHeader: !options.noHeader,
            dates: options.dates.format(in: surroundings.timeZone), width: output.width)
        let text = try TableRenderer.render(table, style)
        if options.format == .table { output.error(heading) }
        output.out(text)
    }

    /// Says that a list is empty: nothing but `[]` for programs on standard output, and the end is status 1.
    package func nothingFound(
        _ message: String, hint: String? = nil, _ options: TableOptions, pipe: Bool = false
    ) -> CommandFailure {
        if options.format == .json, !pipe { output.out("[]\n") }
        output.error(message)
        if let hint { output.error(hint) }
        return CommandFailure(.failure)
    }

    /// Shows properties as a table of two columns, or one of them alone.
    ///
    /// - Parameter first: the keys that come first, in this order; those without a value come last.
    package func show(
        _ properties: [String: JSONValue], property: String?, _ options: TableOptions, heading: String,
        first: [String] = []
    ) throws {
        if let property {
            let value = try PropertyRenderer.property(property, of: properties)
            let isJSON = options.format == .json
            return output.out(try isJSON ? PropertyRenderer.json(value) : PropertyRenderer.text(shown(value, options)))
        }
        if options.format == .json { return output.out(try PropertyRenderer.json(.object(properties))) }
        let leading = first.filter { properties[$0] != nil }
        let others = PropertyRenderer.orderedKeys(properties).filter { !leading.contains($0) }
        let (absent, present) = (others.filter { properties[$0] == .null }, others.filter { properties[$0] != .null })
        let rows = (leading + present + absent).map { key -> [String: Cell] in
            let text = PropertyRenderer.text(shown(properties[key] ?? .null, options))
            return ["property": .text(key), "value": .text(text.trimmingCharacters(in: .newlines))]
        }
        let columns = [Table.Column("property", "Property"), Table.Column("value", "Value")]
        try show(Table(columns: columns, rows: rows), options, heading: heading)
    }

    /// Shows an object as YAML, or one property of it.
    package func show(_ properties: [String: JSONValue], property: String?, dates: DateOptions) throws {
        let formatted = PropertyDates.format(.object(properties), dates.format(in: surroundings.timeZone))
        guard let property else { return output.out(PropertyRenderer.yaml(formatted)) }
        guard case .object(let shown) = formatted else { return }
        output.out(try PropertyRenderer.text(PropertyRenderer.property(property, of: shown)))
    }

    private func shown(_ value: JSONValue, _ options: TableOptions) -> JSONValue {
        PropertyDates.format(value, options.dates.format(in: surroundings.timeZone))
    }

    /// `<title> (<id>)`.
    package func label(_ project: Resource<API.Project>) -> String {
        "\(project.value.title) (\(project.value.id))"
    }

    /// `<name> (type: <type>)`, with the title in front if it differs.
    package func label(_ environment: Resource<API.Environment>) -> String {
        let value = environment.value
        let name = value.title.isEmpty || value.title == value.name ? value.name : "\(value.title) (\(value.name))"
        return "\(name) (type: \(value.type))"
    }
}

/// Rewrites the time stamps inside of an object the way the caller wants dates.
enum PropertyDates {
    static func format(_ value: JSONValue, _ dates: DateFormat) -> JSONValue {
        switch value {
        case .string(let text):
            guard text.count >= 19, text.contains("T"), let date = Timestamp.parse(text) else { return value }
            return .string(dates.text(date))
        case .array(let items): return .array(items.map { format($0, dates) })
        case .object(let properties): return .object(properties.mapValues { format($0, dates) })
        default: return value
        }
    }
}
