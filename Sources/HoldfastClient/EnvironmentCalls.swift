import Foundation
import HoldfastAPI
import HoldfastModel

extension APIClient {
    /// All environments of a project, as the server orders them.
    package func environments(
        of project: Resource<API.Project>
    ) async throws -> [Resource<API.Environment>] {
        try await get(project.links["environments"] ?? "\(project.link("self"))/environments")
    }

    /// An environment by its name (the branch); nil if there is none.
    package func environment(
        _ name: String, of project: ProjectID
    ) async throws -> Resource<API.Environment>? {
        try await find("/projects/\(project)/environments/\(ServerAddress.escape(name))")
    }

    /// Asks whether an operation would be let in now. Nothing is done.
    ///
    /// - Throws: the refusal; `notFound` if the server cannot be asked that.
    package func ask(_ operation: String, of environment: Resource<API.Environment>) async throws {
        _ = try await send(Call("GET", "\(environment.link("self"))/\(operation)"))
    }

    /// Asks for the end of an environment and its data.
    package func delete(_ environment: Resource<API.Environment>) async throws -> Started {
        try await send(Call("DELETE", environment.link("self"))).started()
    }

    /// What runs in it; nil if nothing does.
    package func currentDeployment(
        of environment: Resource<API.Environment>
    ) async throws -> Resource<API.Deployment>? {
        try await find("\(environment.link("self"))/deployments/current")
    }

    /// Changes title, type or parent.
    ///
    /// - Throws: `forbidden` if the server offers no such change.
    package func edit(
        _ environment: Resource<API.Environment>, _ patch: API.EnvironmentPatch
    ) async throws -> Started {
        guard environment.offers("edit") else {
            throw HoldfastError(
                .forbidden, "you may not edit environment '\(environment.value.name)'",
                hint: "Ask an admin of the project")
        }
        let body = try API.encoder().encode(patch)
        return try await send(Call("PATCH", environment.link("#edit"), body: body)).started()
    }
}
