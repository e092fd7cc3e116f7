import Foundation
import HoldfastCatalogue
import HoldfastModel
import HoldfastServer
import Logging
import Testing

@Suite struct RunTests {
    private func server(_ bench: Bench, _ configuration: ServerConfiguration) -> HoldfastServer {
        HoldfastServer(
            catalogue: bench.catalogue, operations: bench.operations, configuration: configuration, time: bench.time,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    @Test(.timeLimit(.minutes(1)))
    func `a server says its port, and ends with its log streams when it is cancelled`() async throws {
        let bench = try Bench()
        let server = server(bench, ServerConfiguration(port: 0))
        let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
        var changes = bench.catalogue.feed.changes(of: .random()).makeAsyncIterator()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run { continuation.yield($0) } }
            var announced = ports.makeAsyncIterator()
            #expect(try #require(await announced.next()) > 0)
            group.cancelAll()
            try await group.waitForAll()
        }
        #expect(await changes.next() == nil)
    }

    @Test(.timeLimit(.minutes(1)))
    func `a port that is taken is said to be, and an unsafe address is never opened`() async throws {
        let bench = try Bench()
        let first = server(bench, ServerConfiguration(port: 0))
        let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await first.run { continuation.yield($0) } }
            var announced = ports.makeAsyncIterator()
            let port = try #require(await announced.next())
            let taken = await failure { try await server(bench, ServerConfiguration(port: port)).run() }
            #expect(taken?.code == .unavailable)
            #expect(taken?.message.contains("\(port)") == true)
            group.cancelAll()
            try await group.waitForAll()
        }
        let open = await failure { try await server(bench, ServerConfiguration(host: "0.0.0.0", port: 0)).run() }
        #expect(open?.code == .invalidInput)
        let files = ServerConfiguration.TLSFiles(certificate: "/nowhere/c.pem", key: "/nowhere/k.pem")
        let tls = await failure { try await server(bench, ServerConfiguration(port: 0, tls: files)).run() }
        #expect(tls?.code == .invalidInput)
    }

    private func failure(_ body: () async throws -> Void) async -> HoldfastError? {
        do {
            try await body()
            return nil
        } catch {
            return error as? HoldfastError
        }
    }
}
