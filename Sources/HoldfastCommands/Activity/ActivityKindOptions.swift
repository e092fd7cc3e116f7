import ArgumentParser
import HoldfastClient
import HoldfastModel

/// Which activities are meant, besides by their type: verbs differ in how that is spelled.
package struct ActivityKindOptions: ParsableArguments {
    @Option(name: [.customShort("x"), .customLong("exclude-type")], help: "Not this type; '*' stands for any text.")
    var excludeType: [String] = []

    @Option(help: "Only this state: pending, in_progress, complete or cancelled.")
    var state: [String] = []

    @Option(help: "Only this result: success or failure.")
    var result: String?

    @Flag(name: [.customShort("i"), .customLong("incomplete")], help: "Only activities that are not over.")
    var incomplete = false

    package init() {}

    package mutating func validate() throws {
        for state in state where ActivityState(rawValue: state) == nil {
            throw ValidationError("'\(state)' is not a state; use pending, in_progress, complete or cancelled")
        }
        if let result, ActivityResult(rawValue: result) == nil {
            throw ValidationError("'\(result)' is not a result; use success or failure")
        }
    }

    /// - Parameter types: what is asked for, such as `environment.*`; all if empty.
    func filter(types: [String]) -> ActivityFilter {
        var filter = ActivityFilter()
        filter.types = Self.types(types, excluding: excludeType)
        filter.states = incomplete ? ["pending", "in_progress"] : state
        filter.result = result
        return filter
    }

    /// What was asked for without what was excluded; wildcards stand for the types that are known.
    static func types(_ wanted: [String], excluding: [String]) -> [String] {
        let known = ActivityType.allCases.map(\.rawValue)
        func expand(_ patterns: [String]) -> [String] {
            patterns.flatMap { $0.split(separator: ",") }.map(String.init).flatMap { pattern in
                guard let star = pattern.firstIndex(where: { $0 == "*" || $0 == "%" }) else { return [pattern] }
                let (prefix, suffix) = (pattern[..<star], pattern[pattern.index(after: star)...])
                let matches = known.filter { $0.hasPrefix(prefix) && $0.hasSuffix(suffix) }
                // Nothing is meant then, and not everything.
                return matches.isEmpty ? [pattern] : matches
            }
        }
        let excluded = Set(expand(excluding))
        guard !wanted.isEmpty || !excluded.isEmpty else { return [] }
        return (wanted.isEmpty ? known : expand(wanted)).filter { !excluded.contains($0) }
    }
}
