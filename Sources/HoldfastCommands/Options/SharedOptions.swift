import ArgumentParser
import Foundation
import HoldfastClient
import HoldfastModel

/// Which project.
package struct ProjectOptions: ParsableArguments {
    @Option(
        name: [.customShort("p"), .customLong("project")],
        help: ArgumentHelp(
            "The project's id; if left out, that of the Git checkout one stands in.", valueName: "id"))
    package var project: String?

    package init() {}
}

/// Which project and which environment.
package struct EnvironmentOptions: ParsableArguments {
    @OptionGroup package var project: ProjectOptions

    @Option(
        name: [.customShort("e"), .customLong("environment")],
        help: ArgumentHelp(
            "The environment's name; '.' is the default branch's; if left out, that of the Git checkout's branch.",
            valueName: "name"))
    package var environment: String?

    package init() {}
}

/// Answers to questions that a command would ask.
package struct ConfirmOptions: ParsableArguments {
    @Flag(name: [.customShort("y"), .customLong("yes")], help: "Answer every question with yes.")
    package var yes = false

    @Flag(name: .customLong("no"), help: .hidden)
    package var no = false

    package init() {}

    /// Asks on standard error. Without a terminal the answer is yes, except for what is dangerous.
    ///
    /// - Parameter isDangerous: it destroys something for good, or what users see: an empty answer is no.
    /// - Throws: `CommandFailure` with status 1 if the answer is no, `invalidInput` if something dangerous cannot be
    ///   asked.
    package func ask(_ question: String, on output: Output, isDangerous: Bool = false) throws {
        if no { throw CommandFailure(.failure) }
        if yes { return }
        guard output.canAsk else {
            guard isDangerous else { return }
            throw HoldfastError(
                .invalidInput, "this needs a yes, and there is no terminal to ask on: \(question)",
                hint: "Add --yes to go ahead")
        }
        while true {
            output.errorPart("\(question) \(isDangerous ? "[y/N]" : "[Y/n]") ")
            guard let answer = output.readLine()?.trimmingCharacters(in: .whitespaces).lowercased() else {
                throw CommandFailure(.failure)
            }
            switch answer {
            case "" where !isDangerous: return
            case "y", "yes": return
            case "", "n", "no": throw CommandFailure(.failure)
            default: output.error("Answer y or n.")
            }
        }
    }
}

/// Whether to wait for what was started.
package struct WaitOptions: ParsableArguments {
    @Flag(name: [.customShort("W"), .customLong("no-wait")], help: "Return at once, do not wait for the activity.")
    package var noWait = false

    @Flag(name: .customLong("wait"), help: "Wait for the activity (the default).")
    package var wait = false

    package init() {}

    package mutating func validate() throws {
        guard !(noWait && wait) else {
            throw ValidationError("--wait and --no-wait exclude each other; give one of them")
        }
    }
}

/// How a list is shown.
package struct TableOptions: ParsableArguments {
    @Option(help: "The format: table, csv, tsv, plain or json.")
    package var format: TableFormat = .table

    @Option(
        name: [.customShort("c"), .customLong("columns")],
        help: ArgumentHelp(
            "Columns to show, separated by commas; '+x' adds x to the usual ones; '*' stands for any text.",
            valueName: "columns"))
    package var columns: [String] = []

    @Flag(help: "Leave out the header.")
    package var noHeader = false

    @OptionGroup package var dates: DateOptions

    package init() {}
}

/// How time stamps are shown.
package struct DateOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The format of dates, as PHP's date(); c is ISO 8601.", valueName: "format"))
    package var dateFmt = "c"

    package init() {}

    package func format(in zone: TimeZone) -> DateFormat { DateFormat(pattern: dateFmt, timeZone: zone) }
}

/// How one object is shown.
package struct PropertyOptions: ParsableArguments {
    @Option(
        name: [.customShort("P"), .customLong("property")],
        help: ArgumentHelp("Show only this property, such as hold.requests_held.", valueName: "path"))
    package var property: String?

    package init() {}

    /// The property that is to be shown alone, for verbs that also take it as an argument; nil for all of them.
    ///
    /// - Throws: a usage error if it is named in both ways.
    func wanted(_ argument: String?) throws -> String? {
        if property != nil, argument != nil {
            throw ValidationError("the property is named twice; give it as an argument or with --property")
        }
        return argument ?? property
    }
}

extension TableFormat: ExpressibleByArgument {}
