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
    /// Numbers of the events that the worker has tallied in its file.
    package let tally: [String]
    /// Ids that arrived a second time.
    package let duplicates: [String]

    package var databaseIDs: Set<String> { Set(database.map(\.id)) }
    package var fileIDs: Set<String> { Set(file.map(\.id)) }
}
