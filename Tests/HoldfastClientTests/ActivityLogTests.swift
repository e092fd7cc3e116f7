import Foundation
import HoldfastAPI
import HoldfastClient
import HoldfastModel
import HoldfastTestSupport
import Synchronization
import Testing

@Suite struct ActivityLogReaderTests {
    @Test func `lines that were cut anywhere come whole and in order`() {
        let text = ClientFixture.line(1, "one") + ClientFixture.line(2, "zwölf") + ClientFixture.seal
        let bytes = Array(text.utf8)
        for cut in bytes.indices {
            var reader = ActivityLogReader()
            let messages = reader.read(bytes[..<cut]) + reader.read(bytes[cut...])
            #expect(messages.map(\.text) == ["one\n", "zwölf\n"])
            #expect(reader.isSealed)
        }
    }

    @Test func `a log that begins anew shows only what is new`() {
        var reader = ActivityLogReader()
        let first = reader.read((ClientFixture.line(1, "one") + #"{"_id":"a1-2","da"#).utf8)
        reader.restart()
        let second = reader.read((ClientFixture.line(1, "one") + ClientFixture.line(2, "two")).utf8)
        #expect(first.map(\.text) == ["one\n"])
        #expect(second.map(\.text) == ["two\n"])
        #expect(!reader.isSealed)
    }

    @Test func `lines that are not for us are passed over`() {
        var reader = ActivityLogReader()
        let text =
            "not json\n{}\n" + #"{"_id":"x","data":{}}"# + "\n" + #"{"seal":false}"# + "\n"
            + ClientFixture.line(1, "one")
        #expect(reader.read(text.utf8).map(\.text) == ["one\n"])
        #expect(!reader.isSealed)
    }

    @Test func `a last line without its newline counts when the connection ends`() {
        var reader = ActivityLogReader()
        #expect(reader.read(ClientFixture.line(1, "one").dropLast().utf8).isEmpty)
        #expect(reader.finish().map(\.text) == ["one\n"])
    }
}

@Suite struct ActivityMonitorTests {
    /// A server whose log answers are played one after the other; the last one is played again and again.
    private func follow(
        logs: [StubServer.Reply], isOver: @escaping @Sendable (_ logsAsked: Int) -> Bool
    ) async throws -> (shown: [String], final: API.Activity, logRequests: [StubServer.Request]) {
        let asked = Mutex(0)
        return try await ClientFixture.run({ request in
            guard request.path.hasSuffix("/log") else {
                let isComplete = isOver(asked.withLock { $0 })
                return .init(
                    200,
                    ClientFixture.activity(
                        state: isComplete ? "complete" : "in_progress", result: isComplete ? "success" : nil))
            }
            let number = asked.withLock { count in
                count += 1
                return count
            }
            return logs[min(number, logs.count) - 1]
        }) { client, server in
            let observer = Observer()
            let final = try await client.wait(
                for: ClientFixture.decode(ClientFixture.activity()) as Resource<API.Activity>, observer: observer)
            return (observer.shown.all, final.value, server.requests.filter { $0.path.hasSuffix("/log") })
        }
    }

    private final class Observer: ActivityObserver {
        let shown = Collector<String>()
        func activityLogged(_ message: LogMessage) { shown.add(message.text) }
        func activityChanged(_ activity: Resource<API.Activity>) {}
    }

    @Test func `a log is shown until its seal, and the final state is returned`() async throws {
        let log = StubServer.Reply.stream([
            ClientFixture.line(1, "one"), ClientFixture.line(2, "two") + ClientFixture.seal,
        ])
        let (shown, final, requests) = try await follow(logs: [log]) { $0 > 0 }
        #expect(shown == ["one\n", "two\n"])
        #expect(final.result == "success")
        #expect(requests.count == 1)
        #expect(requests[0].target == "/projects/p1/activities/a1/log")
    }

    @Test func `a broken connection is made again, and no line is shown twice`() async throws {
        let broken = StubServer.Reply.stream([ClientFixture.line(1, "one"), #"{"_id":"a1-2","da"#])
        let refused = StubServer.Reply(503, #"{"message":"starting"}"#)
        let whole = StubServer.Reply.stream([
            ClientFixture.line(1, "one") + ClientFixture.line(2, "two") + ClientFixture.line(3, "three")
                + ClientFixture.seal
        ])
        let (shown, final, requests) = try await follow(logs: [broken, .none, refused, whole]) { $0 >= 4 }
        #expect(shown == ["one\n", "two\n", "three\n"])
        #expect(final.state == "complete")
        #expect(requests.count == 4)
    }

    @Test func `a log that stays silent is asked for again`() async throws {
        let silent = StubServer.Reply.stream([ClientFixture.line(1, "one")], silence: 3)
        let whole = StubServer.Reply.stream([ClientFixture.line(1, "one") + ClientFixture.seal])
        let (shown, _, requests) = try await follow(logs: [silent, whole]) { $0 >= 2 }
        #expect(shown == ["one\n"])
        #expect(requests.count == 2)
    }

    @Test func `an activity that is over is not waited for because of a missing seal`() async throws {
        let (shown, final, _) = try await follow(logs: [.stream([ClientFixture.line(1, "one")])]) { _ in true }
        #expect(shown == ["one\n"])
        #expect(final.state == "complete")
    }

    @Test func `a log that may not be read is an error at once`() async throws {
        let error = await holdfastError {
            _ = try await follow(logs: [.init(403, #"{"message":"not yours"}"#)]) { _ in false }
        }
        #expect(error?.code == .forbidden)
        #expect(error?.message == "not yours")
    }

    @Test func `a server that stays away is given up after the limit`() async throws {
        let error = await holdfastError {
            _ = try await follow(logs: [.init(503, #"{"message":"starting"}"#)]) { _ in false }
        }
        #expect(error?.code == .unavailable)
    }
}
