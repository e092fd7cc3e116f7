import Foundation
import HoldfastAPI
import HoldfastModel
import HoldfastRetention

/// A change of `data_retention` as a client sends it: merged deeply per type and key, arrays replaced whole, null for
/// the default.
struct RetentionInput {
    private let patch: JSONValue
    private let root: String

    /// - Parameter root: what paths of faults begin with.
    init(_ patch: JSONValue, root: String = "data_retention") {
        self.patch = patch
        self.root = root
    }

    /// What is set after the change.
    ///
    /// - Returns: nil if everything has its default.
    /// - Throws: `invalidInput` with the path of each fault.
    func merged(into old: RetentionSettings?, at now: Date) throws -> RetentionSettings? {
        var faults = InputFaults()
        var settings = old ?? RetentionSettings(changedAt: now)
        if patch == .null {
            settings = RetentionSettings(changedAt: now)
        } else if let types = object(patch, root, &faults) {
            for (name, value) in types.sorted(by: { $0.key < $1.key }) {
                let path = "\(root).\(shown(name))"
                guard let type = EnvironmentType(rawValue: name) else {
                    let known = EnvironmentType.allCases.map(\.rawValue).joined(separator: ", ")
                    faults.add(path, "is no environment type, those are \(known)")
                    continue
                }
                settings[type] = limits(value, settings[type], path, &faults)
            }
        }
        try faults.check(hint: "Look at docs/retention.md, or at backup:policy --help")
        if settings == old { return old }
        settings.noteChanges(from: old, at: now)
        return settings.setTypes.isEmpty && old == nil ? nil : settings
    }

    private func limits(
        _ value: JSONValue, _ old: RetentionSettings.Limits, _ path: String, _ faults: inout InputFaults
    ) -> RetentionSettings.Limits {
        if value == .null { return RetentionSettings.Limits() }
        var limits = old
        for (key, value) in object(value, path, &faults) ?? [:] {
            let path = "\(path).\(shown(key))"
            switch key {
            case "max_backups": limits.maxBackups = limit(value, path, &faults)
            case "default_config" where value == .null: (limits.manualCount, limits.schedule) = (nil, nil)
            case "default_config":
                for (key, value) in object(value, path, &faults) ?? [:] {
                    let path = "\(path).\(shown(key))"
                    switch key {
                    case "manual_count": limits.manualCount = limit(value, path, &faults)
                    case "schedule": limits.schedule = schedule(value, path, &faults)
                    default: faults.add(path, "is no key here, those are manual_count, schedule")
                    }
                }
            default: faults.add(path, "is no key here, those are default_config, max_backups")
            }
        }
        return limits
    }

    /// A limit; null and faults are none.
    private func limit(_ value: JSONValue, _ path: String, _ faults: inout InputFaults) -> Int? {
        value == .null ? nil : count(value, path, &faults)
    }

    private func count(_ value: JSONValue, _ path: String, _ faults: inout InputFaults) -> Int? {
        guard case .integer(let number) = value, (1...Int64(RetentionSchedule.largestCount)).contains(number) else {
            faults.add(
                path, "is \(value.excerpt), should be a whole number from 1 to \(RetentionSchedule.largestCount)")
            return nil
        }
        return Int(number)
    }

    private func schedule(
        _ value: JSONValue, _ path: String, _ faults: inout InputFaults
    ) -> [RetentionSettings.Schedule]? {
        if value == .null { return nil }
        guard case .array(let items) = value, items.count <= 100 else {
            faults.add(path, "is \(value.excerpt), should be an array of at most 100 schedules")
            return nil
        }
        var seen: Set<String> = []
        return items.enumerated().compactMap { index, item in
            let path = "\(path).\(index)"
            guard let fields = object(item, path, &faults) else { return nil }
            for key in fields.keys.sorted() where !["interval", "count", "safe"].contains(key) {
                faults.add("\(path).\(shown(key))", "is no key here, those are count, interval, safe")
            }
            let interval = interval(fields["interval"], "\(path).interval", &faults)
            if let interval, !seen.insert(interval.description).inserted {
                faults.add("\(path).interval", "is \(interval), the interval of another schedule already")
            }
            let number = count(fields["count"] ?? .null, "\(path).count", &faults)
            var safe: Bool?
            switch fields["safe"] ?? .null {
            case .null: break
            case .bool(let value): safe = value
            case let value: faults.add("\(path).safe", "is \(value.excerpt), should be of the type boolean")
            }
            guard let interval, let number else { return nil }
            if interval.approximateSeconds * number > Self.longestSpan {
                faults.add("\(path).count", "is \(number), should keep no more than a thousand years of \(interval)")
            }
            return RetentionSettings.Schedule(interval: interval.description, count: number, safe: safe)
        }
    }

    /// Seconds that a schedule may reach back: a thousand years.
    private static let longestSpan = 1000 * 31_556_952

    private func interval(_ value: JSONValue?, _ path: String, _ faults: inout InputFaults) -> RetentionInterval? {
        guard let text = value?.string else {
            faults.add(path, "is \(value.map(\.excerpt) ?? "missing"), should be a text such as 1d")
            return nil
        }
        do {
            return try RetentionInterval(String(text.prefix(40)))
        } catch {
            faults.add(path, (error as? HoldfastError)?.message ?? "is not an interval")
            return nil
        }
    }

    private func object(_ value: JSONValue, _ path: String, _ faults: inout InputFaults) -> [String: JSONValue]? {
        if case .object(let fields) = value { return fields }
        faults.add(path, "is \(value.excerpt), should be of the type object")
        return nil
    }

    /// Keys come from outside: bounded, because they are said again.
    private func shown(_ key: String) -> String { String(key.prefix(60)) }
}

extension JSONValue {
    /// What was sent, for the sentence that refuses it: its beginning, if it is long.
    fileprivate var excerpt: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let text = (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? "something else"
        return text.count > 40 ? "\(text.prefix(40))…" : text
    }
}

extension RetentionSettings {
    /// As `data_retention` in the API: of each type of which something was set, its limits and the schedules that are
    /// in force. Null if nothing was set.
    var json: JSONValue {
        guard !setTypes.isEmpty else { return .null }
        return .object(
            Dictionary(setTypes.map { ($0.rawValue, json(of: $0)) }) { first, _ in first })
    }

    private func json(of type: EnvironmentType) -> JSONValue {
        let limits = self[type]
        let schedule = limits.schedule ?? RetentionPolicy.defaultSchedule(of: type)
        var config: [String: JSONValue] = ["schedule": .array(schedule.map(\.json))]
        config["manual_count"] = limits.manualCount.map { .integer(Int64($0)) }
        var result: [String: JSONValue] = ["default_config": .object(config)]
        result["max_backups"] = limits.maxBackups.map { .integer(Int64($0)) }
        return .object(result)
    }
}

extension RetentionSettings.Schedule {
    fileprivate var json: JSONValue {
        var fields: [String: JSONValue] = ["interval": .string(interval), "count": .integer(Int64(count))]
        fields["safe"] = safe.map { .bool($0) }
        return .object(fields)
    }
}
