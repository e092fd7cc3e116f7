import Foundation
import HoldfastBackup
import HoldfastModel
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

    @Test func `marks are taken only after drain, quiesce and freeze, and processes run before the gate opens`() throws
    {
        let trace = trace
        let evidence = try coordinator().hold(environment, limits: HoldLimits()) { scope in
            trace.add("marked")
            scope.marked("db")
        }
        let order = trace.all.filter { $0 != "drained" && $0 != "quiesced" && $0 != "renewed" }
        #expect(order == ["gate closed", "frozen", "marked", "thawed", "gate open", "abandoned", "freeze ended"])
        let frozenAt = try #require(trace.all.firstIndex(of: "frozen"))
        #expect(trace.all[..<frozenAt].contains("drained"))
        #expect(trace.all[..<frozenAt].contains("quiesced"))
        #expect(evidence.unbroken)
        #expect(evidence.epoch == 7)
        #expect(evidence.requestsHeld == 5)
        #expect(evidence.workersFrozenInPlace == ["ledger.mailer"])
        #expect(evidence.marksAtMilliseconds.keys.sorted() == ["db"])
    }

    @Test func `a request that does not end fails the hold with its name, nothing is frozen, and the gate opens`() {
        let blocked = coordinator { gate, _ in gate.drain = .blocked(by: ["POST /upload, 12.4 s"]) }
        var marked = false
        let error = #expect(throws: HoldfastError.self) {
            try blocked.hold(environment, limits: HoldLimits()) { _ in marked = true }
        }
        #expect(error?.code == .timedOut)
        #expect(error?.message.contains("POST /upload, 12.4 s") == true)
        #expect(!marked)
        #expect(trace.count("frozen") == 0)
        #expect(trace.count("abandoned") == 1)
        #expect(trace.count("freeze ended") == 1)
    }

    @Test func `a worker that does not quiesce is named`() {
        let blocked = coordinator { _, freezer in freezer.late = ["worker ledger.tally"] }
        let error = #expect(throws: HoldfastError.self) {
            try blocked.hold(environment, limits: HoldLimits()) { _ in }
        }
        #expect(error?.message.contains("worker ledger.tally") == true)
    }

    @Test func `whatever the marks throw, processes are thawed and the gate opens`() {
        struct MarkFailed: Error {}
        #expect(throws: MarkFailed.self) {
            try coordinator().hold(environment, limits: HoldLimits()) { _ in throw MarkFailed() }
        }
        #expect(trace.count("freeze ended") == 1)
        #expect(trace.count("abandoned") == 1)
        #expect(trace.count("gate open") == 0)
    }

    @Test func `a gate that says the lease lapsed gives evidence that is not unbroken`() throws {
        let evidence = try coordinator { gate, _ in gate.unbroken = false }
            .hold(environment, limits: HoldLimits()) { _ in }
        #expect(!evidence.unbroken)
    }

    @Test func `a renewal that fails makes the hold not unbroken even if the gate thinks otherwise`() throws {
        let limits = HoldLimits(lease: .milliseconds(30), drain: .seconds(1), cap: .seconds(2))
        let trace = trace
        let evidence = try coordinator { gate, _ in gate.renewalFails = true }.hold(environment, limits: limits) { _ in
            while trace.count("renewed") == 0 { Thread.sleep(forTimeInterval: 0.005) }
            Thread.sleep(forTimeInterval: 0.02)
        }
        #expect(!evidence.unbroken)
    }

    @Test func `a thaw that fails is an error, and the gate opens all the same`() {
        let stuck = coordinator { _, freezer in freezer.thawFails = true }
        #expect(throws: HoldfastError.self) { try stuck.hold(environment, limits: HoldLimits()) { _ in } }
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
