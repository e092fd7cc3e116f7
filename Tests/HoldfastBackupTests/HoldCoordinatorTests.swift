import Foundation
import HoldfastBackup
import HoldfastModel
import Synchronization
import Testing

struct HoldCoordinatorTests {
    private let trace = Trace()
    private let environment = EnvironmentID.random()

    private func coordinator(_ change: (inout ScriptedGate, inout ScriptedFreezer) -> Void = { _, _ in })
        -> HoldCoordinator
    {
        var gate = ScriptedGate(trace: trace)
        var freezer = ScriptedFreezer(trace: trace)
        change(&gate, &freezer)
        return HoldCoordinator(gate: gate, freezer: freezer, time: ManualTime())
    }

    private func hold(
        _ coordinator: HoldCoordinator, limits: HoldLimits = HoldLimits(), body: (HoldScope) throws -> Void
    ) throws -> HoldEvidence {
        var tries = HoldTries()
        return try coordinator.hold(environment, limits: limits, tries: &tries, body: body)
    }

    private func request(
        _ id: UInt64, milliseconds: Double, isReceived: Bool = true, silent: Double = 0
    ) -> PassedRequest {
        PassedRequest(
            id: id, line: "POST /upload", milliseconds: milliseconds, isReceived: isReceived,
            silentMilliseconds: silent)
    }

    @Test func `marks are taken only after drain, quiesce and freeze, and processes run before the gate opens`() throws
    {
        let trace = trace
        let evidence = try hold(coordinator()) { scope in
            trace.add("marked")
            scope.marked("db")
        }
        let ignored: Set = ["looked", "drained", "quiesced", "renewed", "freeze renewed"]
        let order = trace.all.filter { !ignored.contains($0) }
        #expect(order == ["gate closed", "frozen", "marked", "thawed", "gate open", "freeze ended", "abandoned"])
        let frozenAt = try #require(trace.all.firstIndex(of: "frozen"))
        #expect(trace.all[..<frozenAt].contains("drained"))
        #expect(trace.all[..<frozenAt].contains("quiesced"))
        #expect(evidence.unbroken)
        #expect(evidence.epoch == 7)
        #expect(evidence.requestsHeld == 5)
        #expect(evidence.requestsLeft == 1)
        #expect(evidence.streamsFrozen == 2)
        #expect(evidence.streamsIgnored == 3)
        #expect(evidence.workersFrozenInPlace == ["ledger.mailer"])
        #expect(evidence.marksAtMilliseconds.keys.sorted() == ["db"])
    }

    @Test func `a hold says between its steps where it is, and counts marks that are taken at the same time`() throws {
        let trace = trace
        let coordinator = HoldCoordinator(
            gate: ScriptedGate(trace: trace), freezer: ScriptedFreezer(trace: trace), time: ManualTime(),
            reached: { trace.add($0.rawValue) })
        _ = try hold(coordinator) { scope in
            let work = (0..<20).map { number -> @Sendable () throws -> Int in { scope.marked("mount \(number)") } }
            let counts = try inParallel(work).sorted()
            #expect(counts == Array(1...20))
            trace.add("marked")
        }
        let drained = try #require(trace.all.firstIndex(of: "backup.drained"))
        #expect(Set(["gate closed", "drained", "quiesced"]).isSubset(of: trace.all[..<drained]))
        let ignored: Set = ["renewed", "freeze renewed"]
        let order = trace.all[drained...].filter { !ignored.contains($0) }
        #expect(
            order == [
                "backup.drained", "frozen", "backup.frozen", "marked", "backup.marked", "thawed", "backup.thawed",
                "gate open", "freeze ended", "abandoned",
            ])
    }

    @Test func `a request that does not end fails the hold with its name, nothing is frozen, and the gate opens`() {
        let blocked = coordinator { gate, _ in gate.drain = .blocked(by: [request(3, milliseconds: 12_400)]) }
        var marked = false
        let error = #expect(throws: HoldfastError.self) {
            try hold(blocked) { _ in marked = true }
        }
        #expect(error?.code == .timedOut)
        #expect(error?.message.contains("POST /upload, 12.4 s") == true)
        #expect(!marked)
        #expect(trace.count("frozen") == 0)
        #expect(trace.count("abandoned") == 1)
        #expect(trace.count("freeze ended") == 1)
    }

    @Test func `a drain that fails does not wait for workers with the gate closed`() {
        let blocked = coordinator { gate, freezer in
            gate.drain = .blocked(by: [request(3, milliseconds: 12_400)])
            freezer.quiesceWaits = true
        }
        var tries = HoldTries()
        let error = #expect(throws: HoldfastError.self) {
            try blocked.hold(environment, limits: HoldLimits(), tries: &tries) { _ in }
        }
        #expect(error?.message.contains("not drained, still running: POST /upload") == true)
        #expect(trace.count("workers waited for") == 0)
        #expect(trace.count("gate open") == 1)
        #expect(tries.heldMilliseconds == 12)
    }

    @Test func `what nobody waits for any more blocks a consistent point, and not a switch`() throws {
        var stuck = request(3, milliseconds: 400_000)
        stuck.isGivenUp = true
        let looks = [stuck]
        var switched = false
        _ = try coordinator { gate, _ in
            gate.drain = .blocked(by: looks)
            gate.looks = [looks]
        }.holdRequests(environment, limits: HoldLimits()) { _ in switched = true }
        #expect(switched)
        let error = #expect(throws: HoldfastError.self) {
            try hold(coordinator { gate, _ in gate.drain = .blocked(by: looks) }) { _ in }
        }
        #expect(error?.message.contains("POST /upload, 400.0 s, nobody waits for the answer any more") == true)
    }

    @Test func `a worker that does not quiesce is named`() {
        let blocked = coordinator { _, freezer in freezer.late = ["worker ledger.tally"] }
        let error = #expect(throws: HoldfastError.self) {
            try hold(blocked) { _ in }
        }
        #expect(error?.message.contains("worker ledger.tally") == true)
    }

    @Test func `whatever the marks throw, processes are thawed and the gate opens`() {
        struct MarkFailed: Error {}
        #expect(throws: MarkFailed.self) {
            try hold(coordinator()) { _ in throw MarkFailed() }
        }
        let end = trace.all.filter { ["thawed", "freeze ended", "gate open", "abandoned"].contains($0) }
        #expect(end == ["thawed", "freeze ended", "gate open", "abandoned"])
    }

    @Test func `a gate that says the lease lapsed gives evidence that is not unbroken`() throws {
        let evidence = try hold(coordinator { gate, _ in gate.unbroken = false }) { _ in }
        #expect(!evidence.unbroken)
    }

    @Test(arguments: [true, false])
    func `when gate or freeze are lost, the processes are thawed at once, and then the gate opens`(gateIsLost: Bool)
        throws
    {
        let limits = HoldLimits(lease: .milliseconds(200), drain: .seconds(1), cap: .seconds(2))
        let trace = trace
        let broken = coordinator { gate, freezer in
            if gateIsLost { gate.renewalFails = true } else { freezer.renewalFails = true }
        }
        let error = #expect(throws: HoldfastError.self) {
            try hold(broken, limits: limits) { _ in
                // In the middle of the marks, not only after them.
                for _ in 0..<1000 where trace.count("abandoned") == 0 { Thread.sleep(forTimeInterval: 0.01) }
                #expect(trace.count("abandoned") == 1)
                throw HoldfastError(.damaged, "what came of the loss")
            }
        }
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains(gateIsLost ? "the gate was lost" : "the freeze was lost") == true)
        let end = trace.all.filter { ["thawed", "freeze ended", "abandoned"].contains($0) }
        #expect(Array(end.prefix(3)) == ["thawed", "freeze ended", "abandoned"])
    }

    @Test func `a hold that is lost ends its marks at once, and they have an end before the cap`() throws {
        let limits = HoldLimits(lease: .milliseconds(200), drain: .seconds(1), cap: .seconds(2))
        let broken = coordinator { gate, _ in gate.renewalFails = true }
        let trace = trace
        let error = #expect(throws: HoldfastError.self) {
            try hold(broken, limits: limits) { scope in
                // One second on the clock when the gate was closed.
                #expect(scope.end == 2_980_000_000)
                let given = DispatchSemaphore(value: 0)
                scope.whenLost {
                    trace.add("marks ended")
                    given.signal()
                }
                #expect(given.wait(timeout: .now() + 30) == .success)
                scope.whenLost { trace.add("and those that came later") }
                throw HoldfastError(.cancelled, "what came of the loss")
            }
        }
        #expect(error?.code == .unavailable)
        let end = trace.all.filter { ["thawed", "marks ended", "and those that came later"].contains($0) }
        // The processes come first.
        #expect(Array(end.prefix(3)) == ["thawed", "marks ended", "and those that came later"])
    }

    @Test func `a renewed freeze ends before the gate would, and before the cap`() throws {
        let time = ManualTime()
        let begun = time.monotonicNanoseconds()
        let ends = Mutex<[UInt64]>([])
        let trace = trace
        let freezer = ScriptedFreezer(trace: trace, renewed: { end in ends.withLock { $0.append(end) } })
        let coordinator = HoldCoordinator(gate: ScriptedGate(trace: trace), freezer: freezer, time: time)
        var limits = HoldLimits(lease: .seconds(5), drain: .seconds(1), cap: .seconds(8))
        limits.patience = .zero
        _ = try hold(coordinator, limits: limits) { _ in
            for _ in 0..<1000 where ends.withLock({ $0.count }) < 1 { Thread.sleep(forTimeInterval: 0.01) }
            time.advance(milliseconds: 6_000)
            let count = ends.withLock { $0.count }
            // One renewal may have read the clock just before it moved.
            for _ in 0..<1000 where ends.withLock({ $0.count }) < count + 2 { Thread.sleep(forTimeInterval: 0.01) }
        }
        let (first, last) = try ends.withLock { (try #require($0.first), try #require($0.last)) }
        #expect(first == begun + 4_500_000_000)
        #expect(last == begun + 7_500_000_000)
    }

    @Test func `what would block a drain is waited for before the gate closes`() throws {
        let time = ManualTime()
        let gate = ScriptedGate(
            trace: trace, looks: [[request(1, milliseconds: 20_000)], [request(1, milliseconds: 20_500)], []],
            time: time)
        let lines = Trace()
        let coordinator = HoldCoordinator(
            gate: gate, freezer: ScriptedFreezer(trace: trace), time: time, log: { lines.add($0) })
        var tries = HoldTries()
        let trace = trace
        _ = try coordinator.hold(
            environment, limits: HoldLimits(), tries: &tries, closes: { trace.add("closes") }, body: { _ in })
        // What stands still in the hold goes on until then.
        #expect(Array(trace.all.prefix(6)) == ["looked", "looked", "looked", "closes", "looked", "gate closed"])
        #expect(lines.all == ["Waiting with the gate open for POST /upload, 20.0 s."])
    }

    @Test func `without a good moment the gate never closes, and the reason names the request`() throws {
        let time = ManualTime()
        let slow = request(1, milliseconds: 3_000, isReceived: false, silent: 2_900)
        let gate = ScriptedGate(trace: trace, looks: [[slow]], time: time, lookTakes: 10_000)
        let coordinator = HoldCoordinator(gate: gate, freezer: ScriptedFreezer(trace: trace), time: time)
        var tries = HoldTries()
        let error = #expect(throws: HoldfastError.self) {
            try coordinator.hold(
                environment, limits: HoldLimits(), tries: &tries, closes: { Issue.record("it closes") }, body: { _ in })
        }
        #expect(error?.code == .timedOut)
        // Only a backup can be a live one.
        #expect(error?.hint == "Try again when these have ended")
        #expect(error?.message.contains("POST /upload, 3.0 s, not all of it sent by its client") == true)
        #expect(trace.count("gate closed") == 0)
        #expect(tries.count == 0)
        #expect(tries.waited >= .seconds(60))
    }

    @Test(arguments: [2, 200])
    func `with the engine standing still, what it held up is given a moment before the gate closes`(looks: Int) throws {
        let young = request(2, milliseconds: 10)
        let old = request(1, milliseconds: 300)
        let gate = ScriptedGate(trace: trace, looks: [[old]] + Array(repeating: [old], count: looks) + [[young]])
        let coordinator = HoldCoordinator(gate: gate, freezer: ScriptedFreezer(trace: trace), time: ManualTime())
        var tries = HoldTries()
        let trace = trace
        _ = try coordinator.hold(
            environment, limits: HoldLimits(), tries: &tries, closes: { trace.add("closes") }, body: { _ in })
        let closes = try #require(trace.all.firstIndex(of: "closes"))
        let closed = try #require(trace.all.firstIndex(of: "gate closed"))
        // A load that does not get lighter keeps nobody waiting.
        #expect(closed - closes - 1 == min(looks + 1, 20))
    }

    @Test func `a request that blocked a drain is waited for before the next, and all tries are counted`() throws {
        let time = ManualTime()
        let stuck = request(9, milliseconds: 300)
        var gate = ScriptedGate(trace: trace, drain: .blocked(by: [stuck]), time: time)
        let freezer = ScriptedFreezer(trace: trace)
        var tries = HoldTries()
        #expect(throws: HoldfastError.self) {
            try HoldCoordinator(gate: gate, freezer: freezer, time: time)
                .hold(environment, limits: HoldLimits(), tries: &tries) { _ in }
        }
        #expect(tries.blamed == [9])
        #expect(tries.count == 1)
        let closed = trace.all.count
        gate.drain = .drained(atMilliseconds: 1)
        // The first two looks were at the first try.
        gate.looks = [[], [], [stuck], [stuck], []]
        let evidence = try HoldCoordinator(gate: gate, freezer: freezer, time: time)
            .hold(environment, limits: HoldLimits(), tries: &tries) { _ in }
        #expect(Array(trace.all[closed...].prefix(5)) == Array(repeating: "looked", count: 4) + ["gate closed"])
        #expect(evidence.tries == 2)
        #expect(evidence.heldInAllMilliseconds == 24)
    }

    @Test func `a drain is given up early for a client that stopped in the middle, not for an app that works`() {
        let limits = HoldLimits()
        for (blocker, drains) in [
            (request(1, milliseconds: 1_000, isReceived: false, silent: 1_000), 1),
            (request(1, milliseconds: 1_000), 10),
            (request(1, milliseconds: 1_000, isReceived: false, silent: 10), 10),
        ] {
            let trace = Trace()
            let gate = ScriptedGate(trace: trace, drain: .blocked(by: [blocker]))
            let coordinator = HoldCoordinator(gate: gate, freezer: ScriptedFreezer(trace: trace), time: ManualTime())
            #expect(throws: HoldfastError.self) { try hold(coordinator, limits: limits) { _ in } }
            #expect(trace.count("drained") == drains, "\(blocker)")
        }
    }

    @Test func `the moment is good when nothing is slow, or when all that is slow can end within a drain`() {
        let moment = GoodMoment(limits: HoldLimits(), blamed: [7])
        let slow = request(1, milliseconds: 3_000)
        let (none, much) = (Duration.zero, Duration.seconds(61))
        #expect(moment.decide([], waited: none, waitedInAll: much) == .close)
        #expect(moment.decide([request(1, milliseconds: 900)], waited: none, waitedInAll: none) == .close)
        #expect(moment.decide([slow], waited: none, waitedInAll: none) == .wait(for: [slow]))
        #expect(moment.decide([slow], waited: .seconds(10), waitedInAll: .seconds(10)) == .close)
        let blamed = request(7, milliseconds: 10)
        #expect(moment.decide([blamed], waited: .seconds(50), waitedInAll: none) == .wait(for: [blamed]))
        #expect(moment.decide([blamed], waited: none, waitedInAll: much) == .giveUp(because: [blamed]))
    }

    @Test func `rounds of pre-copy end when little is left, when it becomes no less, and at the limit`() {
        func rounds(_ megabytes: [Int64]) -> Int {
            var rounds = PreCopyRounds()
            return (megabytes.firstIndex { !rounds.wantsAnother(bytes: $0 << 20, files: 1) } ?? -1) + 1
        }
        #expect(rounds([0]) == 1 && rounds([4]) == 1)
        #expect(rounds([5, 1]) == 2)
        #expect(rounds([500, 250, 100, 3]) == 4)
        #expect(rounds([500, 251, 1]) == 2)
        #expect(rounds([4000, 2000, 1000, 500, 250, 125]) == 5)
        var many = PreCopyRounds()
        // Many small files cost as much as a large one.
        let wantsAnother = many.wantsAnother(bytes: 1000, files: 65)
        #expect(wantsAnother)
    }

    @Test func `the reason of a last try carries the first one`() {
        let first = HoldfastError(.unavailable, "the freeze was lost", cause: HoldfastError(.system, "no guard"))
        let last = HoldfastError(.timedOut, "not drained", hint: "Try again").after(first)
        #expect(last.description == "the freeze was lost: no guard; tried again: not drained. Try again")
        #expect(first.after(first).description == first.description)
        #expect(first.after(nil).description == first.description)
    }

    @Test func `a thaw that fails is an error, and the gate opens all the same`() {
        let stuck = coordinator { _, freezer in freezer.thawFails = true }
        #expect(throws: HoldfastError.self) { try hold(stuck) { _ in } }
        #expect(trace.count("abandoned") == 1)
    }

    @Test func `work in parallel runs at the same time and the first error in order is thrown`() throws {
        let both = DispatchSemaphore(value: 0)
        let arrive: @Sendable () throws -> Bool = {
            both.signal()
            return both.wait(timeout: .now() + 5) == .success
        }
        #expect(try inParallel([arrive, arrive]) == [true, true])
        let failing: [@Sendable () throws -> Int] = [
            { 1 }, { throw HoldfastError(.conflict, "second") }, { throw HoldfastError(.damaged, "third") },
        ]
        let error = #expect(throws: HoldfastError.self) { try inParallel(failing) }
        #expect(error?.code == .conflict)
    }
}
