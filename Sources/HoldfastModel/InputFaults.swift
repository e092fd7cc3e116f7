/// What is wrong with an input, at each place where something is: the cause of an `invalidInput` error.
public struct InputFaults: Error, Sendable, Hashable, CustomStringConvertible {
    /// Path such as `data_retention.production.max_backups` -> what is wrong there, for people.
    public private(set) var faults: [String: String] = [:]

    public init() {}

    public mutating func add(_ path: String, _ problem: String) {
        if faults[path] == nil { faults[path] = problem }
    }

    public var isEmpty: Bool { faults.isEmpty }

    public var description: String { "\(faults.count) place\(faults.count == 1 ? "" : "s")" }

    /// - Throws: `invalidInput` that names them all, if there are any.
    public func check(hint: String? = nil) throws {
        guard !isEmpty else { return }
        let text = faults.sorted { $0.key < $1.key }.map { "'\($0.key)': \($0.value)" }.joined(separator: "; ")
        throw HoldfastError(.invalidInput, text, hint: hint, cause: self)
    }
}
