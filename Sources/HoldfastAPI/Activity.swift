import Foundation
import HoldfastModel

extension API {
    /// `GET …/activities/{a}`.
    package struct Activity: Codable, Sendable {
        package var id: ActivityID
        @Nullable package var createdAt: Date?
        @Nullable package var updatedAt: Date?
        package var type: String
        package var parameters: JSONValue
        package var project: ProjectID
        /// Names, as the API's environment ids are.
        package var environments: [String]
        /// `pending`, `in_progress`, `complete` or `cancelled`.
        package var state: String
        /// `success`, `failure` or null while it is open.
        @Nullable package var result: String?
        /// `error` or null.
        @Nullable package var failureReason: String?
        /// Our addition: why it failed, one line for people.
        @Nullable package var failure: String?
        @Nullable package var startedAt: Date?
        @Nullable package var completedAt: Date?
        @Nullable package var cancelledAt: Date?
        @Nullable package var expiresAt: Date?
        package var completionPercent: Int
        package var timings: [String: Double]
        package var log: String
        /// `backup_name` for everything about a backup; `user`, `environment` and `project` as far as known.
        package var payload: JSONValue
        /// HTML; never null.
        package var description: String
        /// Plain text; never null.
        package var text: String
        package var commands: [JSONValue]
        package var links: Links

        /// - Parameters:
        ///   - environmentName: the API's id of the environment, nil for activities of the project.
        ///   - user: who asked, nil for Holdfast itself.
        package init(
            _ activity: HoldfastModel.Activity, environmentName: String?, user: HoldfastModel.User?, links: Links
        ) {
            id = activity.id
            type = activity.type.rawValue
            parameters = .object(Self.parameters(activity))
            project = activity.project
            environments = environmentName.map { [$0] } ?? []
            state = activity.state.rawValue
            completionPercent = activity.state == .complete ? 100 : min(99, activity.completionPercent)
            timings = Self.timings(activity)
            log = ""
            payload = .object(Self.payload(activity, environmentName: environmentName, user: user))
            description = Self.escape(activity.text)
            text = activity.text
            commands = []
            self.links = links
            createdAt = activity.createdAt
            updatedAt = activity.updatedAt
            result = activity.result?.rawValue
            failureReason = activity.result == .failure ? "error" : nil
            failure = activity.failure
            startedAt = activity.startedAt
            completedAt = activity.completedAt
            cancelledAt = activity.state == .cancelled ? activity.completedAt : nil
        }

        /// Whether nothing more will happen to it.
        package var isFinished: Bool { state == "complete" || state == "cancelled" }

        /// The backup that it makes, deletes or restores.
        package var backupName: String? { payload["backup_name"]?.string }

        private static func timings(_ activity: HoldfastModel.Activity) -> [String: Double] {
            guard let started = activity.startedAt else { return [:] }
            var timings = ["wait": started.timeIntervalSince(activity.createdAt)]
            if let completed = activity.completedAt { timings["execute"] = completed.timeIntervalSince(started) }
            return timings
        }

        /// Stored as texts; those that are flags travel as flags.
        private static func parameters(_ activity: HoldfastModel.Activity) -> [String: JSONValue] {
            let flags: Set = ["safe", "or_live", "automated", "code", "undo"]
            return Dictionary(
                activity.parameters.map { key, value in
                    (key, flags.contains(key) ? .bool(value == "true") : .string(value))
                }
            ) { first, _ in first }
        }

        private static func payload(
            _ activity: HoldfastModel.Activity, environmentName: String?, user: HoldfastModel.User?
        ) -> [String: JSONValue] {
            var payload = parameters(activity)
            payload["backup_name"] = payload["backup"]
            payload["project"] = .object(["id": .string(activity.project.rawValue)])
            if let environmentName {
                payload["environment"] = .object(["id": .string(environmentName), "name": .string(environmentName)])
            }
            if let user {
                payload["user"] = .object([
                    "id": .string(user.id.rawValue), "display_name": .string(user.displayName),
                    "created_at": .string(Timestamp.format(user.createdAt)),
                    "updated_at": .string(Timestamp.format(user.createdAt)),
                ])
            }
            return payload
        }

        private static func escape(_ text: String) -> String {
            text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;")
                .replacingOccurrences(of: ">", with: "&gt;")
        }
    }

    /// One line of an activity's log stream, or the seal that ends it.
    package struct LogItem: Codable, Sendable, Hashable {
        /// `_id`: the same line has the same one in every request.
        package var entryId: String
        package var data: Line?
        /// True on the last item: the activity is over, and its final state is already readable.
        package var seal: Bool?

        package struct Line: Codable, Sendable, Hashable {
            package var timestamp: Date
            /// Ends with a newline.
            package var message: String
        }

        package init(_ line: ActivityLogLine, of activity: ActivityID) {
            entryId = "\(activity)-\(line.sequence)"
            data = Line(timestamp: line.at, message: line.message)
        }

        /// The end of the log.
        package init(sealOf activity: ActivityID) {
            entryId = "\(activity)-seal"
            seal = true
        }
    }
}
