import Foundation
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// The project and the environment that a command works on.
package struct Selection: Sendable {
    package let project: Resource<API.Project>
    package let environment: Resource<API.Environment>
}

extension Session {
    /// The project of `-p`, of the checkout, or of `PLATFORM_PROJECT`.
    ///
    /// - Throws: status 2 if nothing names one, status 9 if it does not exist.
    package func project(_ options: ProjectOptions) async throws -> Resource<API.Project> {
        let id = try projectID(options)
        do {
            return try await client.project(id)
        } catch let error as HoldfastError where error.code == .notFound {
            throw CommandFailure(.projectNotFound, error)
        }
    }

    /// Project and environment.
    ///
    /// - Parameters:
    ///   - argument: an environment's name given as an argument; goes before `-e`.
    ///   - usesDefault: take the default branch's environment if nothing names one; for commands that only read.
    /// - Throws: `invalidInput` if nothing names an environment, `notFound` if it does not exist.
    package func selection(
        _ options: EnvironmentOptions, argument: String? = nil, usesDefault: Bool = false
    ) async throws -> Selection {
        let project = try await project(options.project)
        let name = try environmentName(options, argument: argument, project: project, usesDefault: usesDefault)
        return Selection(project: project, environment: try await environment(name, of: project))
    }

    /// An environment by its name; `.` is that of the default branch.
    package func environment(
        _ name: String, of project: Resource<API.Project>
    ) async throws -> Resource<API.Environment> {
        guard let environment = try await findEnvironment(name, of: project) else {
            throw Self.noEnvironment(name == "." ? project.value.defaultBranch : name, in: project)
        }
        return environment
    }

    /// As `environment`, and nil if there is none. A name as it stands in a URL, such as `feature%2Fx`, will do too.
    package func findEnvironment(
        _ name: String, of project: Resource<API.Project>
    ) async throws -> Resource<API.Environment>? {
        let real = name == "." ? project.value.defaultBranch : name
        if let environment = try await client.environment(real, of: project.value.id) { return environment }
        guard let decoded = real.removingPercentEncoding, decoded != real, !decoded.isEmpty else { return nil }
        return try await client.environment(decoded, of: project.value.id)
    }

    static func noEnvironment(_ name: String, in project: Resource<API.Project>) -> HoldfastError {
        HoldfastError(
            .notFound, "environment '\(name)' does not exist in project '\(project.value.id)'",
            hint: "List them with `holdfast environment:list -p \(project.value.id)`, or push that branch")
    }

    private func projectID(_ options: ProjectOptions) throws -> ProjectID {
        if let text = options.project { return try Self.projectID(text, from: "--project") }
        let finder = ContextFinder(home: home, server: server)
        if let context = try finder.find(from: surroundings.directory) { return context.project }
        if let text = surroundings.variable("PLATFORM_PROJECT") {
            return try Self.projectID(text, from: "PLATFORM_PROJECT")
        }
        throw CommandFailure(
            .projectRootNotFound,
            HoldfastError(
                .invalidInput, "no project was named, and '\(surroundings.directory)' is in no checkout of one",
                hint: "Add --project ID (`holdfast project:list` lists them), or go to a checkout of the project"))
    }

    /// An id, or a URL that ends with `/projects/<id>`.
    private static func projectID(_ text: String, from source: String) throws -> ProjectID {
        var name = text
        if text.contains("://") {
            let parts = text.split(separator: "/").map(String.init)
            if let index = parts.lastIndex(of: "projects"), index + 1 < parts.count { name = parts[index + 1] }
        }
        guard let id = ProjectID(name) else {
            throw HoldfastError(
                .invalidInput, "'\(text)' in \(source) is not a project id",
                hint: "Use an id as `holdfast project:list` shows it")
        }
        return id
    }

    private func environmentName(
        _ options: EnvironmentOptions, argument: String?, project: Resource<API.Project>, usesDefault: Bool
    ) throws -> String {
        if let name = try environmentName(options, argument: argument, project: project) { return name }
        if usesDefault { return project.value.defaultBranch }
        throw HoldfastError(
            .invalidInput, "no environment was named",
            hint: "Add --environment NAME; '-e .' is the environment of '\(project.value.defaultBranch)'")
    }

    /// The environment that an argument, `-e`, the checkout or the surroundings name; nil if nothing does.
    func environmentName(
        _ options: EnvironmentOptions, argument: String? = nil, project: Resource<API.Project>
    ) throws -> String? {
        if let argument, let option = options.environment, argument != option {
            throw HoldfastError(
                .invalidInput, "two environments are named: '\(argument)' and '\(option)'", hint: "Give one of them")
        }
        if let name = argument ?? options.environment { return name }
        let context = try ContextFinder(home: home, server: server).find(from: surroundings.directory)
        if let context, context.project == project.value.id {
            if let branch = context.branch { return branch }
        } else if let branch = surroundings.variable("PLATFORM_BRANCH"),
            surroundings.variable("PLATFORM_PROJECT") == project.value.id.rawValue
        {
            return branch
        }
        return nil
    }
}
