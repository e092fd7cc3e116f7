import Foundation
import HoldfastModel

/// Everything around a command that is not in its arguments.
package struct Surroundings: Sendable {
    package var variables: [String: String]
    /// The directory one stands in, absolute.
    package var directory: String
    package var isRoot: Bool
    package var output: Output
    package var time: any TimeSource
    package var timeZone: TimeZone

    package init(
        variables: [String: String], directory: String, isRoot: Bool, output: Output, time: any TimeSource,
        timeZone: TimeZone
    ) {
        self.variables = variables
        self.directory = directory
        self.isRoot = isRoot
        self.output = output
        self.time = time
        self.timeZone = timeZone
    }

    /// The ones commands see; tests put others in their place.
    @TaskLocal package static var current = Surroundings.process

    /// Those of this process.
    package static var process: Surroundings {
        Surroundings(
            variables: ProcessInfo.processInfo.environment, directory: FileManager.default.currentDirectoryPath,
            isRoot: geteuid() == 0, output: .standard, time: SystemTime(), timeZone: .current)
    }

    /// A variable that is set and not empty.
    package func variable(_ name: String) -> String? {
        variables[name].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Absolute and without `.` and `..`; relative paths start at the directory one stands in.
    package func absolute(_ path: String) -> String {
        URL(fileURLWithPath: path, relativeTo: URL(fileURLWithPath: directory, isDirectory: true))
            .standardizedFileURL.path
    }
}

/// What a client assumes if nobody says otherwise.
package enum ClientDefaults {
    package static let url = "http://127.0.0.1:7070"
    /// File in the home with the API token of the local CLI, mode 0600.
    package static let tokenFile = "cli-token"
    /// File in the home with the URL that the server listens at; absent means `url`.
    package static let urlFile = "cli-url"

    /// `HOLDFAST_HOME`, `/var/lib/holdfast` for root, else a directory among the user's data.
    package static func home(_ surroundings: Surroundings) -> String {
        if let home = surroundings.variable("HOLDFAST_HOME") { return surroundings.absolute(home) }
        if surroundings.isRoot { return "/var/lib/holdfast" }
        if let data = surroundings.variable("XDG_DATA_HOME"), data.hasPrefix("/") { return data + "/holdfast" }
        return (surroundings.variable("HOME") ?? NSHomeDirectory()) + "/.local/share/holdfast"
    }
}
