import Foundation

extension API {
    /// `_links` of an object: relation -> where it is. A relation that starts with `#` is an operation the caller
    /// may run now; one that is missing may not be run.
    package struct Links: Sendable, Hashable, Codable, ExpressibleByDictionaryLiteral {
        private var values: [String: LinkValue]

        package init(dictionaryLiteral elements: (String, String)...) {
            values = Dictionary(elements.map { ($0, .one($1)) }) { _, last in last }
        }

        package init(from decoder: any Decoder) throws {
            values = try decoder.singleValueContainer().decode([String: LinkValue].self)
        }

        package func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            try container.encode(values)
        }

        /// The address of a relation; setting nil takes the relation away. Relations with several addresses read as
        /// their first.
        package subscript(_ relation: String) -> String? {
            get { values[relation]?.addresses.first }
            set { values[relation] = newValue.map(LinkValue.one) }
        }

        /// Several addresses under one relation, written as an array.
        package mutating func set(_ relation: String, to addresses: [String]) {
            values[relation] = .many(addresses)
        }

        package func all(_ relation: String) -> [String] { values[relation]?.addresses ?? [] }

        package var relations: [String] { values.keys.sorted() }
    }

    private enum LinkValue: Sendable, Hashable, Codable {
        case one(String)
        case many([String])

        private struct Address: Codable {
            var href: String
        }

        var addresses: [String] {
            switch self {
            case .one(let address): [address]
            case .many(let addresses): addresses
            }
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let several = try? container.decode([Address].self) {
                self = .many(several.map(\.href))
            } else {
                self = .one(try container.decode(Address.self).href)
            }
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .one(let address): try container.encode(Address(href: address))
            case .many(let addresses): try container.encode(addresses.map(Address.init))
            }
        }
    }

    /// The answer to everything that starts work: the activities that do it, and the object as it is now.
    package struct Accepted<Entity: Codable & Sendable>: Codable, Sendable {
        package var status: String
        package var code: Int
        package var embedded: Embedded

        package struct Embedded: Codable, Sendable {
            package var activities: [Activity]
            package var entity: Entity?
        }

        /// - Parameters:
        ///   - code: the HTTP status that it is sent with; 202 if work was queued.
        package init(activities: [Activity], entity: Entity? = nil, code: Int = 202) {
            self.status = code == 202 ? "Accepted" : "OK"
            self.code = code
            self.embedded = Embedded(activities: activities, entity: entity)
        }
    }

    /// An accepted request that has no object to show.
    package typealias AcceptedActivities = Accepted<JSONValue>

    /// `{items, count, _links}`: how users, organizations and access lists come.
    package struct Collection<Item: Codable & Sendable>: Codable, Sendable {
        package var items: [Item]
        package var count: Int
        package var links: Links

        package init(items: [Item], links: Links) {
            self.items = items
            self.count = items.count
            self.links = links
        }
    }

    /// Every error that is not about tokens.
    package struct ErrorBody: Codable, Sendable, Hashable {
        /// For people: names thing and value.
        package var message: String
        /// The HTTP status.
        package var code: Int
        /// The HTTP status in words.
        package var title: String
        /// `HoldfastError.Code` as text; what programs look at.
        package var kind: String
        /// Property -> message for input that was refused.
        package var detail: [String: String]?
        /// What to do next, a sentence.
        package var hint: String?

        package init(message: String, code: Int, title: String, kind: String, hint: String?) {
            self.message = message
            self.code = code
            self.title = title
            self.kind = kind
            self.hint = hint
        }
    }

    /// The answer to a token request that worked.
    package struct TokenResponse: Codable, Sendable {
        package var accessToken: String
        /// Seconds; never 0.
        package var expiresIn: Int
        package var tokenType: String
        package var scope: String

        package init(accessToken: String, expiresIn: Int) {
            self.accessToken = accessToken
            self.expiresIn = expiresIn
            self.tokenType = "bearer"
            self.scope = ""
        }
    }

    /// The answer to a token request that was refused (RFC 6749, section 5.2).
    package struct TokenError: Codable, Sendable {
        package var error: String
        package var errorDescription: String
        package var errorHint: String?

        package init(error: String, description: String, hint: String? = nil) {
            self.error = error
            self.errorDescription = description
            self.errorHint = hint
        }
    }
}
