import Foundation
import HoldfastClient
import HoldfastModel

extension DemoHouse {
    /// A load on the ledger, whose address not every resolver knows: names below localhost are this machine.
    func loadPlan(prefix: String) throws -> LoadPlan {
        let address = try address()
        guard let host = URL(string: address)?.host(), let port = URL(string: address)?.port else {
            throw HoldfastError(.internalFault, "'\(address)' is no URL with a port")
        }
        var plan = LoadPlan(url: "http://127.0.0.1:\(port)/events", host: "\(host):\(port)")
        plan.idPrefix = prefix
        return plan
    }
}

/// A load in a process of its own, so that neither takes the other's threads: `load <plan> <file>` of this program.
///
/// It runs until its standard input ends, and then leaves what became of each request in the file.
package enum LoadProcess {
    /// What the process is told, in its first argument as JSON.
    package struct Orders: Codable, Sendable {
        var url: String
        var host: String?
        var prefix: String
        var connections: Int
        var requestsPerSecond: Double
    }

    /// The most that may be in flight at full load.
    package static let connections = 64
    /// Full load, as a share of the rate at which the app is saturated.
    package static let share = 0.7
    /// How long half of the requests may take at a rate that counts.
    package static let typicalMilliseconds = 50.0
    /// With how many connections the app is tried, one after another.
    static let steps = [4, 8, 16, 32, connections]

    /// The body of the process.
    ///
    /// - Parameters:
    ///   - orders: JSON of `Orders`.
    ///   - path: of the file to write.
    package static func run(_ orders: String, outcomesTo path: String) async throws {
        let orders = try JSONDecoder().decode(Orders.self, from: Data(orders.utf8))
        var plan = LoadPlan(url: orders.url, host: orders.host)
        plan.idPrefix = orders.prefix
        plan.connections = orders.connections
        plan.requestsPerSecond = orders.requestsPerSecond
        plan.duration = .seconds(86400)
        let generator = try LoadGenerator(plan, time: SystemTime())
        let thread = Thread {
            while generator.finishedCount == 0 { Thread.sleep(forTimeInterval: 0.01) }
            FileHandle.standardOutput.write(Data("running\n".utf8))
            _ = FileHandle.standardInput.readDataToEndOfFile()
            generator.stop()
        }
        thread.name = "orders"
        thread.start()
        let summary = try await generator.run()
        try JSONEncoder().encode(summary.outcomes).write(to: URL(fileURLWithPath: path))
    }
}

/// The end of a running load that its starter holds.
struct RunningLoad {
    private let process: Process
    private let orders: Pipe
    private let file: String

    /// Returns when the first request was answered.
    ///
    /// - Parameter program: the one whose `load` is `LoadProcess.run`.
    init(_ plan: LoadPlan, program: String, in directory: String) throws {
        file = "\(directory)/load-\(plan.idPrefix).json"
        let told = LoadProcess.Orders(
            url: plan.url, host: plan.host, prefix: plan.idPrefix, connections: plan.connections,
            requestsPerSecond: plan.requestsPerSecond)
        process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = ["load", String(decoding: try JSONEncoder().encode(told), as: UTF8.self), file]
        orders = Pipe()
        process.standardInput = orders
        let answers = Pipe()
        process.standardOutput = answers
        try process.run()
        guard !answers.fileHandleForReading.availableData.isEmpty else {
            throw HoldfastError(.unavailable, "the load did not start")
        }
    }

    /// No new request is sent; returns when the last one was answered.
    func stop() throws -> LoadSummary {
        try orders.fileHandleForWriting.close()
        process.waitUntilExit()
        let url = URL(fileURLWithPath: file)
        defer { try? FileManager.default.removeItem(at: url) }
        guard process.terminationStatus == 0 else {
            throw HoldfastError(.unavailable, "the load ended with \(process.terminationStatus)")
        }
        return LoadSummary(outcomes: try JSONDecoder().decode([LoadOutcome].self, from: Data(contentsOf: url)))
    }
}

extension DemoHouse {
    /// Finds out at which rate the ledger is saturated: how many requests a second it answers at most, with as many
    /// connections as it takes, while half of them end within `LoadProcess.typicalMilliseconds`.
    ///
    /// - Parameter seconds: for all that is tried.
    func saturation(program: String, prefix: String, seconds: Double) throws -> Double {
        var most = 0.0
        for connections in LoadProcess.steps {
            let found = try answers(
                over: connections, program: program, prefix: "\(prefix)-\(connections)",
                seconds: seconds / Double(LoadProcess.steps.count))
            // An app that is slow with the fewest has a rate all the same.
            if most > 0, found.median > LoadProcess.typicalMilliseconds { break }
            most = max(most, found.rate)
        }
        return most
    }

    /// Lets each connection send its next request as soon as the last one is answered.
    ///
    /// - Returns: answers a second, and how long half of them took at most, in milliseconds.
    private func answers(
        over connections: Int, program: String, prefix: String, seconds: Double
    ) throws -> (rate: Double, median: Double) {
        let load = try load(rate: 100_000, over: connections, program: program, prefix: prefix)
        Thread.sleep(forTimeInterval: seconds)
        let summary = try load.stop()
        guard let first = summary.outcomes.map(\.sentAt).min(), let last = summary.outcomes.map(\.endedAt).max(),
            last > first, summary.dropped.isEmpty
        else { throw HoldfastError(.unavailable, "the ledger did not answer all requests of a short load") }
        return (
            Double(summary.accepted.count) / last.timeIntervalSince(first), summary.latencyMilliseconds(share: 0.5)
        )
    }

    /// Starts a load.
    ///
    /// - Parameter rate: requests a second; at full load the saturation's share.
    func load(
        rate: Double, over connections: Int = LoadProcess.connections, program: String, prefix: String
    ) throws -> RunningLoad {
        var plan = try loadPlan(prefix: prefix)
        plan.connections = connections
        plan.requestsPerSecond = rate
        return try RunningLoad(plan, program: program, in: options.home)
    }
}
