import ArgumentParser
import Foundation
import HoldfastCommands
import HoldfastDemo
import HoldfastModel

/// `holdfast demo`: the whole story on a real environment.
struct Demo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Deploys the sample environment, backs it up under load, damages it, restores it, and judges.",
        discussion: "Everything happens in a state directory of its own, which is removed at the end.")

    @Option(help: ArgumentHelp("A new state directory.", valueName: "directory"))
    var home: String?

    @Option(help: ArgumentHelp("The sample environment.", valueName: "directory"))
    var example: String?

    @Flag(help: "End when the story is told, instead of leaving it running.")
    var once = false

    func run() async throws {
        let surroundings = Surroundings.current
        let binary = OwnBinary.path
        let base = geteuid() == 0 ? "/var/lib" : NSTemporaryDirectory()
        let own = "\(base)/holdfast-demo-\(ProcessInfo.processInfo.processIdentifier)"
        let options = DemoOptions(
            binary: binary, home: home.map(surroundings.absolute) ?? own,
            example: try example.map(surroundings.absolute) ?? Self.findExample(from: binary, surroundings), once: once)
        let story = DemoStory(options: options, time: SystemTime()) { surroundings.output.out($0 + "\n") }
        try await story.run(until: Interruption.wait)
    }

    /// `Examples/ledger` of the checkout one stands in, or of the one that the binary was built in.
    private static func findExample(from binary: String, _ surroundings: Surroundings) throws -> String {
        for start in [surroundings.directory, binary] {
            var folder = start
            while folder != "/", !folder.isEmpty {
                let candidate = "\(folder)/Examples/ledger"
                if FileManager.default.fileExists(atPath: "\(candidate)/.upsun/config.yaml") { return candidate }
                folder = (folder as NSString).deletingLastPathComponent
            }
        }
        throw HoldfastError(
            .notFound, "the sample environment is not here", hint: "Name its folder with --example")
    }
}

/// Waits for SIGINT or SIGTERM, or until the task is cancelled.
enum Interruption {
    static func wait() async {
        for signal in [SIGINT, SIGTERM] { Foundation.signal(signal, SIG_IGN) }
        let sources = [SIGINT, SIGTERM].map { DispatchSource.makeSignalSource(signal: $0, queue: .global()) }
        let (events, continuation) = AsyncStream.makeStream(of: Void.self)
        for source in sources {
            source.setEventHandler { continuation.yield() }
            source.resume()
        }
        // Ends with the first signal, or when the task is cancelled.
        for await _ in events { break }
        for source in sources { source.cancel() }
    }
}
