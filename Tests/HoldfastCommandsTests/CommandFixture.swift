import ArgumentParser
import Foundation
import HoldfastClient
import HoldfastCommands
import HoldfastModel
import HoldfastTestSupport
import Synchronization

/// A root for the verbs, as the executable has one.
struct TestRoot: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "holdfast", abstract: "Back up and restore environments.", subcommands: CommandTree.clientCommands)
}

/// What a command did.
struct CommandRun: Sendable {
    var status: ExitStatus
    var out: String
    var error: String
    var requests: [StubServer.Request]

    /// Method and target of everything but the token exchange.
    var calls: [String] { requests.filter { $0.path != "/oauth2/token" }.map { "\($0.method) \($0.target)" } }
}

enum CommandFixture {
    static let tokenReply = #"{"access_token":"access-1","expires_in":900,"token_type":"bearer","scope":""}"#

    /// Runs a command line against a server that answers by path, and otherwise with 404.
    static func run(
        _ arguments: [String], replies: [String: StubServer.Reply] = [:], answers: [String] = [], canAsk: Bool = false,
        directory: String = "/", variables: [String: String] = [:]
    ) async throws -> CommandRun {
        let server = try StubServer { request in
            if request.path == "/oauth2/token" { return .init(200, tokenReply) }
            return replies["\(request.method) \(request.path)"]
                ?? .init(404, #"{"message":"nothing is at '\#(request.path)'","kind":"notFound"}"#)
        }
        defer { server.stop() }
        let texts = Mutex((out: "", error: "", answers: answers))
        let holder = Holder(texts)
        let output = Output(
            out: { text in holder.add(out: text) }, error: { text in holder.add(error: text) },
            read: { holder.answer() }, canAsk: canAsk)
        var all = ["HOLDFAST_TOKEN": "api-token-1", "HOLDFAST_URL": server.url, "HOLDFAST_HOME": "/nowhere"]
        all.merge(variables) { $1 }
        let surroundings = Surroundings(
            variables: all, directory: directory, isRoot: false, output: output, time: SystemTime(),
            timeZone: TimeZone(secondsFromGMT: 0) ?? .gmt)
        let status = await Surroundings.$current.withValue(surroundings) {
            await CommandRunner.run(TestRoot.self, arguments)
        }
        return CommandRun(status: status, out: holder.out, error: holder.error, requests: server.requests)
    }

    private final class Holder: Sendable {
        private let texts: Mutex<(out: String, error: String, answers: [String])>
        init(_ texts: consuming Mutex<(out: String, error: String, answers: [String])>) { self.texts = texts }
        var out: String { texts.withLock { $0.out } }
        var error: String { texts.withLock { $0.error } }
        func add(out text: String) { texts.withLock { $0.out += text } }
        func add(error text: String) { texts.withLock { $0.error += text } }
        func answer() -> String? { texts.withLock { $0.answers.isEmpty ? nil : $0.answers.removeFirst() } }
    }
}

/// A temporary directory that is gone afterwards.
func withTemporaryDirectory<Value>(_ body: (String) async throws -> Value) async throws -> Value {
    let path = FileManager.default.temporaryDirectory.resolvingSymlinksInPath()
        .appendingPathComponent("holdfast-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try await body(path)
}
