import Foundation
import HoldfastModel

/// What the ledger says of itself at `GET /sets`.
package struct LedgerSets: Sendable, Decodable {
    package struct Event: Sendable, Hashable, Decodable {
        package let number: Int
        package let id: String
        package let kind: String

        package init(from decoder: any Decoder) throws {
            var container = try decoder.unkeyedContainer()
            number = try container.decode(Int.self)
            id = try container.decode(String.self)
            kind = try container.decode(String.self)
        }
    }

    package let version: String
    package let database: [Event]
    package let file: [Event]
    /// Every other place that has the events, such as the journal on another mount or further services.
    package let places: [String: [Event]]
    /// Numbers of the events that the worker has tallied in its file.
    package let tally: [String]
    /// Ids that arrived a second time.
    package let duplicates: [String]

    package var databaseIDs: Set<String> { Set(database.map(\.id)) }
    package var fileIDs: Set<String> { Set(file.map(\.id)) }

    /// What differs between the database and each other place, such as `journal lacks 7:load-3`; empty if nothing does.
    package var differences: [String] {
        let expected = Set(database)
        return others.flatMap { name, events in
            let found = Set(events)
            var said = expected.subtracting(found).map { "\(name) lacks \($0.number):\($0.id)" }.sorted()
            said += found.subtracting(expected).map { "only \(name) has \($0.number):\($0.id)" }.sorted()
            if events.count != found.count { said.append("\(name) has lines twice") }
            return said
        }
    }

    /// Events that are not in all places.
    package var differingEvents: Set<Event> {
        others.reduce(into: []) { $0.formUnion(Set(database).symmetricDifference($1.events)) }
    }

    /// As the sample's configuration bounds its cron.
    private static let cronSeconds = 60.0

    /// Whether the run that wrote a cron's event may have been under way between two marks.
    ///
    /// It has no request whose times are known, but a number between those of requests: it was drawn after each lower
    /// one was sent, and before any higher one had ended. Its event was everywhere when the cron's time was over.
    ///
    /// - Parameter answered: when requests that succeeded were sent and had ended, by id.
    package func mayHaveRun(
        cron event: Event, within skew: LiveSkew, answered: [String: (sentAt: Date, endedAt: Date)]
    ) -> Bool {
        for request in Set(places.values.reduce(database + file, +)) {
            guard let times = answered[request.id] else { continue }
            if request.number < event.number, times.sentAt > skew.lastMarkAt { return false }
            let latestEnd = times.endedAt.addingTimeInterval(Self.cronSeconds)
            if request.number > event.number, latestEnd < skew.firstMarkAt { return false }
        }
        return true
    }

    /// Of all events that are in every place.
    package var idsEverywhere: Set<String> {
        others.reduce(databaseIDs) { $0.intersection($1.events.map(\.id)) }
    }

    private var others: [(name: String, events: [Event])] {
        (places.map { ($0.key, $0.value) } + [("file", file)]).sorted { $0.0 < $1.0 }
    }
}
