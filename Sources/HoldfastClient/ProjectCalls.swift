import Foundation
import HoldfastAPI
import HoldfastModel

extension APIClient {
    /// Who the token belongs to.
    package func currentUser() async throws -> Resource<API.User> {
        try await get("/users/me")
    }

    /// The projects that the user may see, in the order of their titles.
    package func projects() async throws -> [API.ProjectReference] {
        let user = try await currentUser().value.id
        let access: Resource<API.Collection<API.ExtendedAccess>> = try await get(
            "/users/\(user)/extended-access", query: [("filter[resource_type]", "project")])
        guard let link = access.links["ref:projects:0"] else { return [] }
        let byID: [String: API.ProjectReference?] = try await get(link)
        return byID.values.compactMap { $0 }.sorted { ($0.title, $0.id) < ($1.title, $1.id) }
    }

    /// - Throws: `notFound` if there is no such project, or none that the user may see.
    package func project(_ id: ProjectID) async throws -> Resource<API.Project> {
        guard let project: Resource<API.Project> = try await find("/projects/\(id)") else {
            throw HoldfastError(
                .notFound, "project '\(id)' does not exist, or you have no access to it",
                hint: "List your projects with `holdfast project:list`")
        }
        return project
    }

    package func createProject(_ input: API.ProjectCreateInput) async throws -> Resource<API.Project> {
        try await post("/projects", input)
    }

    /// Throws the refusal that `delete` would meet now; nothing is done.
    package func askToDelete(_ project: Resource<API.Project>, withProduction: Bool) async throws {
        _ = try await send(
            Call("GET", "\(project.link("self"))/delete", query: Self.deletion(withProduction: withProduction)))
    }

    /// Ends a project.
    ///
    /// - Parameter withProduction: its production environment may be active, and goes with all its data.
    /// - Returns: paths on the server that could not be removed.
    package func delete(_ project: Resource<API.Project>, withProduction: Bool) async throws -> [String] {
        let answer: API.ProjectDeleted = try await send(
            Call("DELETE", project.link("self"), query: Self.deletion(withProduction: withProduction))
        ).decode()
        return answer.left
    }

    private static func deletion(withProduction: Bool) -> [(name: String, value: String)] {
        withProduction ? [(name: "with_production", value: "true")] : []
    }

    package func settings(of project: ProjectID) async throws -> Resource<API.ProjectSettings> {
        try await get("/projects/\(project)/settings")
    }

    /// Changes a project's settings, merged deeply; the answer is how they are then.
    package func changeSettings(of project: ProjectID, _ change: JSONValue) async throws -> Resource<
        API.ProjectSettings
    > {
        _ = try await send(Call("PATCH", "/projects/\(project)/settings", body: API.encoder().encode(change)))
        return try await settings(of: project)
    }

    package func capabilities(of project: ProjectID) async throws -> Resource<API.Capabilities> {
        try await get("/projects/\(project)/capabilities")
    }

    /// The password and the sites of a project's backup repository; for admins.
    package func repositoryKey(of project: ProjectID) async throws -> Resource<API.RepositoryKey> {
        try await get("/projects/\(project)/repository-key")
    }

    /// Gives a user access to a project; makes the user if there is none with that address.
    package func addUser(
        _ input: API.UserAddInput, to project: ProjectID
    ) async throws -> Resource<API.UserAccess> {
        try await post("/projects/\(project)/user-access", input)
    }

    /// Everybody who has access to a project.
    package func userAccess(of project: ProjectID) async throws -> Resource<API.Collection<API.UserAccess>> {
        try await get("/projects/\(project)/user-access")
    }

    /// Names and addresses of the people that a list of access refers to.
    package func people(
        of access: Resource<API.Collection<API.UserAccess>>
    ) async throws -> [String: API.UserReference] {
        guard let link = access.links["ref:users:0"] else { return [:] }
        let found: [String: API.UserReference?] = try await get(link)
        return found.compactMapValues { $0 }
    }

    /// API tokens without their secrets.
    ///
    /// - Parameter user: id, name or address of somebody else, for operators; nil for one's own.
    package func tokens(of user: String?) async throws -> [Resource<API.Token>] {
        try await get("/users/\(ServerAddress.escape(user ?? "me"))/tokens")
    }

    /// Ends a token at once.
    package func revokeToken(_ id: String, of user: String?) async throws {
        _ = try await send(
            Call("DELETE", "/users/\(ServerAddress.escape(user ?? "me"))/tokens/\(ServerAddress.escape(id))"))
    }

    /// A new API token; the answer is the only place where its text ever is.
    package func createToken(_ input: API.TokenCreateInput) async throws -> Resource<API.Token> {
        try await post("/users/me/tokens", input)
    }
}
