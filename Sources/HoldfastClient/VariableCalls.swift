import Foundation
import HoldfastAPI
import HoldfastModel

extension APIClient {
    /// The variables of a project or of an environment alone.
    ///
    /// - Parameter base: the project's or the environment's own link.
    package func variables(under base: String) async throws -> [Resource<API.Variable>] {
        try await get("\(base)/variables")
    }

    /// A variable of that level; nil if there is none.
    package func variable(_ name: String, under base: String) async throws -> Resource<API.Variable>? {
        try await find("\(base)/variables/\(ServerAddress.escape(name))")
    }

    /// - Throws: `conflict` if there is one of that name.
    package func createVariable(_ input: API.VariableInput, under base: String) async throws {
        _ = try await send(Call("POST", "\(base)/variables", body: API.encoder().encode(input)))
    }

    /// Changes what is given, and leaves the rest.
    package func updateVariable(_ name: String, _ input: API.VariableInput, under base: String) async throws {
        let target = "\(base)/variables/\(ServerAddress.escape(name))"
        _ = try await send(Call("PATCH", target, body: API.encoder().encode(input)))
    }

    package func deleteVariable(_ name: String, under base: String) async throws {
        _ = try await send(Call("DELETE", "\(base)/variables/\(ServerAddress.escape(name))"))
    }
}
