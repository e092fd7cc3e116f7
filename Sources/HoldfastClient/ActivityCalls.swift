import Foundation
import HoldfastAPI
import HoldfastModel

/// Which activities to list.
package struct ActivityFilter: Sendable {
    package var types: [String] = []
    package var states: [String] = []
    package var result: String?
    /// Created at that time or before.
    package var startsAt: Date?
    package var limit = 10

    package init() {}
}

extension APIClient {
    /// Activities of a project or of an environment, newest first, no more than the filter's limit.
    ///
    /// - Parameter base: the project's or the environment's own link.
    package func activities(
        under base: String, _ filter: ActivityFilter
    ) async throws -> [Resource<API.Activity>] {
        var found: [Resource<API.Activity>] = []
        var known: Set<ActivityID> = []
        var startsAt = filter.startsAt
        while found.count < filter.limit {
            var query = filter.types.map { (name: "type", value: $0) }
            if let startsAt { query.append(("starts_at", Timestamp.format(startsAt))) }
            query.append(("count", String(min(filter.limit, 100))))
            if let result = filter.result { query.append(("result", result)) }
            query += filter.states.map { ("state", $0) }
            let page: [Resource<API.Activity>] = try await get("\(base)/activities", query: query)
            let new = page.filter { known.insert($0.value.id).inserted }
            found += new
            guard !new.isEmpty, let oldest = page.last?.value.createdAt else { break }
            startsAt = oldest
        }
        return Array(found.prefix(filter.limit))
    }

    /// An activity by its id, or by the beginning of its id among the latest 25.
    ///
    /// - Throws: `notFound`, or `invalidInput` if several begin so.
    package func activity(
        _ id: String, of project: Resource<API.Project>
    ) async throws -> Resource<API.Activity> {
        let base = try project.link("self")
        if let exact: Resource<API.Activity> = try await find("\(base)/activities/\(ServerAddress.escape(id))") {
            return exact
        }
        var latest = ActivityFilter()
        latest.limit = 25
        let matches = try await activities(under: base, latest).filter { $0.value.id.rawValue.hasPrefix(id) }
        guard let match = matches.first, !id.isEmpty else {
            throw HoldfastError(
                .notFound, "activity '\(id)' does not exist in project '\(project.value.id)'",
                hint: "List them with `holdfast activity:list --all`")
        }
        guard matches.count == 1 else {
            let ids = matches.map { $0.value.id.rawValue }.joined(separator: ", ")
            throw HoldfastError(
                .invalidInput, "several activities begin with '\(id)': \(ids)", hint: "Give more of the id")
        }
        return match
    }

    /// Asks an activity to be dropped, or to stop if it runs and the server can do that.
    ///
    /// - Returns: the activity as it is now; it may take a moment to stop.
    /// - Throws: the server's reason if it cannot be cancelled.
    package func cancel(_ activity: Resource<API.Activity>) async throws -> Resource<API.Activity> {
        let target = try activity.links["#cancel"] ?? "\(activity.link("self"))/cancel"
        let started = try await send(Call("POST", target)).started()
        if let now = started.activities.first { return now }
        return try await refreshed(activity)
    }
}
