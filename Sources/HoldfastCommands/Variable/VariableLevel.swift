import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// Whose variables: a project's, which all its environments get, or those of one environment, which go before them.
package enum VariableLevel: String, ExpressibleByArgument, CaseIterable, Sendable {
    case project
    case environment
}

/// Which level a variable is of.
package struct VariableOptions: ParsableArguments {
    @Option(
        name: [.customShort("l"), .customLong("level")],
        help: "Whose variables: project or environment; if left out, the environment's if -e names one.")
    var level: VariableLevel?

    @OptionGroup var selection: EnvironmentOptions

    package init() {}
}

/// A value that is given, or read.
package struct ValueOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The value; if left out, the first line of standard input.", valueName: "text"))
    var value: String?

    package init() {}

    /// - Throws: `invalidInput` if there is no input.
    func text(in session: Session) throws -> String {
        if let value { return value }
        if session.output.canAsk { session.output.errorPart("Value: ") }
        guard let line = session.output.readLine() else {
            throw HoldfastError(.invalidInput, "there is no value", hint: "Add --value, or pipe it in")
        }
        return line
    }
}

/// Where variables live, and how it is called.
struct VariablePlace {
    var base: String
    var name: String
}

extension Session {
    /// A variable that is there, and where.
    ///
    /// - Throws: `notFound` naming it.
    func variable(
        _ name: String, _ options: VariableOptions
    ) async throws -> (found: Resource<API.Variable>, place: VariablePlace) {
        let place = try await place(options)
        guard let found = try await client.variable(name, under: place.base) else {
            throw HoldfastError(
                .notFound, "variable '\(name)' does not exist in \(place.name)",
                hint: "List those there are with `holdfast variable:list`")
        }
        return (found, place)
    }

    func place(_ options: VariableOptions) async throws -> VariablePlace {
        let level = options.level ?? (options.selection.environment == nil ? .project : .environment)
        guard level == .environment else {
            let project = try await project(options.selection.project)
            return VariablePlace(base: try project.link("self"), name: "the project \(label(project))")
        }
        let environment = try await selection(options.selection).environment
        return VariablePlace(
            base: try environment.link("self"), name: "the environment \(label(environment))")
    }

    /// What has become of a variable, and that values reach processes with a deployment only.
    func say(_ name: String, _ change: String) {
        output.error("Variable \(name) is \(change).")
        output.error("It counts from the next deployment on, such as `holdfast environment:redeploy`.")
    }
}
