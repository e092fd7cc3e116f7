import Foundation
import HoldfastAPI
import HoldfastModel

/// What a handler answers.
struct Reply: Sendable {
    var status: Int
    var headers: [String: String]
    var body: Data

    /// A JSON answer.
    static func json(_ value: some Encodable, _ status: Int = 200) throws -> Reply {
        do {
            let body = try API.encoder().encode(value)
            return Reply(status: status, headers: ["Content-Type": "application/json"], body: body)
        } catch {
            throw HoldfastError(.internalFault, "an answer cannot be written as JSON", cause: error)
        }
    }

    /// 202 with the activities that do the work.
    static func accepted(_ activities: [API.Activity]) throws -> Reply {
        try .json(API.AcceptedActivities(activities: activities), 202)
    }

    static let noContent = Reply(status: 204, headers: [:], body: Data())
}
