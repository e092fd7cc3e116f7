import HoldfastModel

/// Reads the `configuration` of a service key by key.
struct SettingsReader {
    let service: String
    private let value: ConfigurationValue
    private let known: [String]

    init(_ configuration: ServiceConfiguration, known: [String]) {
        service = configuration.name
        value = configuration.configuration
        self.known = known
    }

    /// - Throws: `unsupported` for a key that is not known.
    func checkKeys() throws {
        guard let key = value.map?.keys.sorted().first(where: { !known.contains($0) }) else { return }
        throw HoldfastError(
            .unsupported, "'configuration.\(key)' of service '\(service)' is not offered",
            hint: known.isEmpty ? "Remove it" : "Use one of: \(known.joined(separator: ", "))")
    }

    subscript(key: String) -> ConfigurationValue? {
        if let found = value[key], found != .null { return found }
        return nil
    }

    func map(_ key: String) throws -> [String: ConfigurationValue]? {
        guard let found = self[key] else { return nil }
        guard let map = found.map else { throw fault(key, "is not a map", "Write names with values under it") }
        return map
    }

    func text(_ key: String) throws -> String? {
        guard let found = self[key] else { return nil }
        guard let text = found.string, !text.isEmpty, !text.utf8.contains(0) else {
            throw fault(key, "is not a text", "Write it in quotes")
        }
        return text
    }

    /// A list of plain names without repetitions; nil if there is none.
    func names(_ key: String) throws -> [String]? {
        guard let found = self[key] else { return nil }
        let names = found.list?.compactMap(\.string) ?? []
        guard !names.isEmpty, names.count == found.list?.count, names.allSatisfy(Self.isName),
            Set(names).count == names.count
        else { throw fault(key, "is not a list of different plain names", "Write a list such as [main, archive]") }
        return names
    }

    func word(_ key: String, _ value: ConfigurationValue) throws -> String {
        guard let text = value.string, Self.isName(text) else {
            throw fault(key, "is not a plain word", "Write a name")
        }
        return text
    }

    func fault(_ key: String, _ what: String, _ hint: String) -> HoldfastError {
        HoldfastError(.invalidInput, "'configuration.\(key)' of service '\(service)' \(what)", hint: hint)
    }

    /// Letters, digits, `_` and `-`, at most 64.
    static func isName(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                (97...122).contains($0) || (65...90).contains($0) || (48...57).contains($0) || $0 == 45 || $0 == 95
            }
    }
}
