import Foundation

/// One environment's backups in the text format of Prometheus.
///
/// Source: https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4.
package struct BackupMetrics: Sendable {
    /// Of an exposition in this format.
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    let labels: [(name: String, value: String)]
    let last: API.Backup?
    let retention: API.Retention

    /// - Parameters:
    ///   - project: its id; the other names as the API has them.
    ///   - last: the newest backup that is listed.
    package init(
        project: String, environment: String, type: String, last: API.Backup?, retention: API.Retention
    ) {
        labels = [("project", project), ("environment", environment), ("type", type)]
        self.last = last
        self.retention = retention
    }

    private struct Metric: Sendable {
        var name: String
        var type: String
        var help: String
        /// Nil if there is nothing to tell.
        var value: @Sendable (BackupMetrics) -> Double?
    }

    private static let all = [
        Metric(name: "backup_last_success_timestamp_seconds", type: "gauge", help: "When the last good backup began.") {
            $0.last?.createdAt?.timeIntervalSince1970
        },
        Metric(
            name: "backup_overdue_seconds", type: "gauge",
            help: "Since the first automated backup that should be there and is not."
        ) { Double($0.retention.overdueSeconds) },
        Metric(
            name: "backup_last_drill_timestamp_seconds", type: "gauge",
            help: "When a backup was last really restored, aside or for good."
        ) { $0.retention.lastDrillAt?.timeIntervalSince1970 },
        Metric(name: "backup_attempts_total", type: "counter", help: "Backups that were tried.") {
            Double($0.retention.attempts)
        },
        Metric(name: "backup_failures_total", type: "counter", help: "Backups that failed.") {
            Double($0.retention.failures)
        },
        Metric(name: "backup_count", type: "gauge", help: "Backups that are listed.") {
            Double($0.retention.kept.count + $0.retention.removed.count)
        },
        Metric(name: "backup_last_size_bytes", type: "gauge", help: "Bytes in the last good backup.") {
            $0.last?.sizeOfVolumes.map(Double.init)
        },
        Metric(name: "backup_last_added_bytes", type: "gauge", help: "Bytes that it added to each site.") {
            $0.last?.sizeUsed.map(Double.init)
        },
        Metric(name: "backup_last_sites", type: "gauge", help: "Sites that hold all of it and can be reached.") {
            $0.last.map { Double($0.sites.count { $0.complete && $0.reachable }) }
        },
    ]

    /// Of all environments: each metric once, with a line for each environment.
    package static func text(_ environments: [BackupMetrics]) -> String {
        var text = ""
        for metric in all {
            text += "# HELP \(metric.name) \(metric.help)\n# TYPE \(metric.name) \(metric.type)\n"
            for environment in environments {
                guard let value = metric.value(environment) else { continue }
                let labels = environment.labels.map { "\($0.name)=\"\(escaped($0.value))\"" }.joined(separator: ",")
                text += "\(metric.name){\(labels)} \(number(value))\n"
            }
        }
        return text
    }

    private static func number(_ value: Double) -> String {
        value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : String(value)
    }

    private static func escaped(_ text: String) -> String {
        [("\\", "\\\\"), ("\"", "\\\""), ("\n", "\\n")].reduce(text) {
            $0.replacingOccurrences(of: $1.0, with: $1.1)
        }
    }
}
