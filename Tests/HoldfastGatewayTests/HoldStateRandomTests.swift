import Foundation
import HoldfastGateway
import HoldfastModel
import HoldfastTestSupport
import Testing

/// Drives a `HoldState` with random events, and keeps its own books of what must be true.
private struct Simulation {
    enum Fate { case waiting, forwarded, refused, left }

    var state = HoldState(
        limits: HoldBounds(parkedRequests: 12, parkedBytes: 400, parkedNanoseconds: 900_000_000))
    var generator: SeededGenerator
    var now: UInt64 = 1
    var fates: [RequestID: Fate] = [:]
    var running: [RequestID] = []
    var lastForwarded: RequestID = 0
    var nextID: RequestID = 1
    var epoch: UInt64 = 0
    var expected = Expected()
    var finished: [GateEvidence] = []

    /// The numbers of the hold that is on, counted here a second time.
    struct Expected {
        var held = 0
        var left = 0
        var refused = 0
        var leaseEnd: UInt64 = 0
        var capEnd: UInt64 = 0
        var isClosed = false
        var hasLapsed = false
    }

    init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    mutating func step() {
        now += UInt64.random(in: 0...60_000_000, using: &generator)
        noticeLapse()
        switch Int.random(in: 0..<100, using: &generator) {
        case 0..<45: arrive()
        case 45..<65: endOne()
        case 65..<72: leaveOne()
        case 72..<78: tryHold()
        case 78..<84: renew()
        case 84..<90: release()
        case 90..<92: take(state.open(epoch, .connectionLost, at: now), closes: true)
        case 92..<95: streamOne()
        default: take(state.advance(to: now))
        }
        check()
    }

    /// Everything ends: the gate opens, and nothing is left.
    mutating func settle() {
        while let wake = state.nextWake {
            now = max(now, wake)
            noticeLapse()
            take(state.advance(to: now))
        }
        #expect(state.phase == .open)
        #expect(state.parking.isEmpty)
        #expect(state.parking.bytes == 0)
        #expect(!fates.values.contains(.waiting))
    }

    private mutating func noticeLapse() {
        if expected.isClosed, now >= min(expected.leaseEnd, expected.capEnd) {
            expected.isClosed = false
            expected.hasLapsed = true
        }
    }

    private mutating func arrive() {
        let id = nextID
        nextID += 1
        fates[id] = .waiting
        let actions = state.arrive(
            id, RequestLine(method: "GET", path: "/"), bytes: Int.random(in: 0...60, using: &generator), at: now)
        take(actions)
        if expected.isClosed, fates[id] == .waiting { expected.held += 1 }
    }

    private mutating func endOne() {
        guard let index = running.indices.randomElement(using: &generator) else { return }
        let id = running.remove(at: index)
        take(state.end(id, at: now))
    }

    private mutating func streamOne() {
        guard let index = running.indices.randomElement(using: &generator) else { return }
        let id = running.remove(at: index)
        take(state.becomeStream(id, policy: .freeze, at: now))
        #expect(!state.running.keys.contains(id))
    }

    private mutating func leaveOne() {
        take(state.advance(to: now))
        let waiting = fates.filter { $0.value == .waiting }.keys.sorted()
        guard let id = waiting.randomElement(using: &generator) else { return }
        fates[id] = .left
        expected.left += 1
        take(state.leave(id, at: now))
    }

    private mutating func tryHold() {
        take(state.advance(to: now))
        let isOpen = state.phase == .open
        let lease = UInt64.random(in: 100_000_000...2_000_000_000, using: &generator)
        let grant = HoldGrant(
            owner: HoldOwner(epoch: epoch + 1, connection: 1), lease: lease, cap: 3_000_000_000,
            wallClock: Date(timeIntervalSince1970: 0))
        let actions = try? state.close(grant, policies: [:], at: now)
        #expect((actions != nil) == isOpen)
        guard let actions else { return }
        epoch += 1
        expected = Expected(leaseEnd: now + lease, capEnd: now + 3_000_000_000, isClosed: true)
        take(actions)
    }

    private mutating func renew() {
        take(state.advance(to: now))
        let works = (try? state.renew(epoch, at: now)) != nil
        #expect(works == expected.isClosed)
        if works, let end = state.hold?.leaseEnd { expected.leaseEnd = end }
    }

    private mutating func release() { take(state.open(epoch, .released, at: now), closes: true) }

    private mutating func take(_ actions: [HoldAction], closes: Bool = false) {
        let wasClosed = expected.isClosed
        if closes { expected.isClosed = false }
        for action in actions {
            switch action {
            case .forward(let id, _):
                #expect(fates[id] == .waiting, "forwarded twice, or after it was refused or left")
                #expect(id > lastForwarded, "overtaken")
                lastForwarded = id
                fates[id] = .forwarded
                running.append(id)
                #expect(!expected.isClosed, "forwarded through a closed gate")
            case .refuse(let id, _):
                #expect(fates[id] == .waiting, "refused after it was forwarded, refused or left")
                fates[id] = .refused
                expected.refused += 1
            case .finished(let evidence):
                finished.append(evidence)
                #expect(evidence.epoch == epoch)
                #expect(evidence.requestsHeld == expected.held)
                #expect(evidence.requestsRefused == expected.refused)
                #expect(evidence.requestsLeft == expected.left)
                #expect(evidence.unbroken == (evidence.ending == .released))
                #expect(!(evidence.unbroken && expected.hasLapsed))
                #expect(!wasClosed || closes || expected.hasLapsed)
            case .drained: #expect(state.running.isEmpty)
            case .gateClosed, .gateOpened, .holdStream: ()
            }
        }
    }

    private func check() {
        let waiting = fates.values.count { $0 == .waiting }
        #expect(state.parking.count == waiting)
        #expect(state.parking.count <= 12)
        #expect(state.parking.bytes <= 400)
        #expect(Set(state.running.keys) == Set(running))
        #expect(state.isClosed == expected.isClosed)
        if state.phase == .open { #expect(waiting == 0) }
        if state.phase == .holding { #expect(running.isEmpty) }
        if state.phase == .draining { #expect(!running.isEmpty) }
        #expect((state.phase == .open) == (state.nextWake == nil))
    }
}

@Suite struct HoldStateRandomTests {
    @Test(arguments: UInt64(1)...40)
    func `whatever comes, a request has one fate, in order, and the evidence adds up`(seed: UInt64) {
        var simulation = Simulation(seed: seed)
        for _ in 0..<1_500 { simulation.step() }
        simulation.settle()
        #expect(!simulation.finished.isEmpty)
        #expect(simulation.finished.contains { $0.unbroken })
        #expect(simulation.finished.contains { !$0.unbroken })
    }
}
