import Foundation
import HoldfastModel

/// The ledger with every service that it can write to; as it lies in the checkout it has PostgreSQL alone.
package enum LedgerServices {
    /// Those that have all events after a restore.
    package static let lasting = ["sql", "keys", "queue", "points"]
    /// Those that are empty after one.
    package static let caches = ["session", "cache"]
    private static let types = [
        "sql": "mariadb:10.11", "keys": "redis-persistent:7.0", "queue": "rabbitmq:3.10", "points": "influxdb:1.6",
        "session": "redis:7.0", "cache": "memcached:1.6",
    ]

    /// Changes the configuration in a copy of the sample environment.
    package static func add(to checkout: String) throws {
        let file = "\(checkout)/.upsun/config.yaml"
        let text = try String(contentsOfFile: file, encoding: .utf8)
        try configuration(from: text).write(toFile: file, atomically: true, encoding: .utf8)
    }

    /// - Throws: `invalidInput` if the configuration is not the sample's.
    package static func configuration(from sample: String) throws -> String {
        let services = types.sorted { $0.key < $1.key }
        let additions = [
            ("    relationships:\n", services.map { "      \($0.key): \"\($0.key)\"\n" }.joined()),
            ("\nservices:\n", services.map { "  \($0.key):\n    type: \"\($0.value)\"\n" }.joined()),
        ]
        var text = sample
        for (place, lines) in additions { text = try replace(place, with: place + lines, in: text) }
        return try replace("-m ledger.web", with: "-m ledger.services", in: text)
    }

    private static func replace(_ place: String, with text: String, in sample: String) throws -> String {
        guard sample.contains(place) else {
            throw HoldfastError(
                .invalidInput,
                "the sample's configuration has no '\(place.trimmingCharacters(in: .whitespacesAndNewlines))'")
        }
        return sample.replacingOccurrences(of: place, with: text)
    }
}
