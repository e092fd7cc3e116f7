import ArgumentParser
import Foundation
import HoldfastClient
import HoldfastModel

/// `project:curl`
package struct ProjectCurl: ClientCommand {
    package static let configuration = CommandConfiguration(
        commandName: "project:curl", abstract: "Send a request to the project's API.",
        discussion: """
            The path is below the project, such as settings. Prints the answer's body as it is. Ends with status 1 if \
            the answer is an error and --fail is given.
            """)

    @Argument(help: "The path below the project; the project itself if left out.")
    var path: String?

    @Option(
        name: [.customShort("X"), .customLong("request")],
        help: ArgumentHelp("The method; if left out GET, with --data POST.", valueName: "method"))
    var method: String?

    @Option(name: .shortAndLong, help: ArgumentHelp("The body, usually JSON.", valueName: "text"))
    var data: String?

    @Option(help: ArgumentHelp("The body, which has to be JSON.", valueName: "json"))
    var json: String?

    @Flag(name: .shortAndLong, help: "Print the status before the body.")
    var include = false

    @Flag(name: .shortAndLong, help: "End with status 1 if the answer is an error, and print no body then.")
    var fail = false

    @OptionGroup var selection: ProjectOptions
    @OptionGroup package var global: GlobalOptions

    package init() {}

    package mutating func validate() throws {
        if data != nil, json != nil { throw ValidationError("--data and --json exclude each other; give one of them") }
        if let json, (try? JSONSerialization.jsonObject(with: Data(json.utf8), options: .fragmentsAllowed)) == nil {
            throw ValidationError("--json is not valid JSON; --data sends any text")
        }
        let known = ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"]
        if let method, !known.contains(method.uppercased()) {
            throw ValidationError("'\(method)' is no method; use one of \(known.joined(separator: ", "))")
        }
    }

    package func run(in session: Session) async throws {
        let project = try await session.project(selection)
        let base = try project.link("self")
        let target = try target(below: base)
        let body = (data ?? json).map { Data($0.utf8) }
        let verb = method?.uppercased() ?? (body == nil ? "GET" : "POST")
        let answer = try await session.client.sendRaw(Call(verb, target, body: body))
        let isError = answer.status >= 400
        if include { session.output.out("HTTP/1.1 \(answer.status)\n\n") }
        if isError, fail {
            throw CommandFailure(
                .failure, HoldfastError(.invalidInput, "the server answered with HTTP status \(answer.status)"))
        }
        let text = String(decoding: answer.body, as: UTF8.self)
        session.output.out(text.isEmpty || text.hasSuffix("\n") ? text : text + "\n")
    }

    /// Slashes at both ends are as good as none; nothing leads out of the project.
    private func target(below base: String) throws -> String {
        let trimmed = (path ?? "").drop { $0 == "/" }
        guard !trimmed.prefix(while: { $0 != "?" }).split(separator: "/").contains("..") else {
            throw HoldfastError(.invalidInput, "the path '\(trimmed)' leads out of the project", hint: "Leave out '..'")
        }
        return trimmed.isEmpty ? base : "\(base)/\(trimmed)"
    }
}
