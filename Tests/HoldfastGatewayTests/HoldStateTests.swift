import Foundation
import HoldfastGateway
import HoldfastModel
import Testing

private let ms: UInt64 = 1_000_000
private let line = RequestLine(method: "POST", path: "/orders")

private func makeState(requests: Int = 100, bytes: Int = 1 << 20, age: UInt64 = 60_000 * ms) -> HoldState {
    HoldState(limits: HoldBounds(parkedRequests: requests, parkedBytes: bytes, parkedNanoseconds: age))
}

private func grant(_ epoch: UInt64 = 1, lease: UInt64 = 5_000 * ms, cap: UInt64 = 15_000 * ms) -> HoldGrant {
    HoldGrant(
        owner: HoldOwner(epoch: epoch, connection: 7), lease: lease, cap: cap,
        wallClock: Date(timeIntervalSince1970: 1000))
}

private func evidence(in actions: [HoldAction]) -> GateEvidence? {
    actions.compactMap { if case .finished(let evidence) = $0 { evidence } else { nil } }.first
}

@Suite struct HoldStateTests {
    @Test func `an open gate forwards at once`() {
        var state = makeState()
        #expect(state.arrive(1, line, bytes: 10, at: 0) == [.forward(1, waited: nil)])
        #expect(state.running.count == 1)
        #expect(state.end(1, at: ms) == [])
        #expect(state.running.isEmpty)
        #expect(state.nextWake == nil)
    }

    @Test func `a gate that closes with nothing running is drained at once`() throws {
        var state = makeState()
        #expect(try state.close(grant(), policies: [:], at: 0) == [.gateClosed, .drained])
        #expect(state.phase == .holding)
    }

    @Test func `a closed gate drains when the last running request ends`() throws {
        var state = makeState()
        _ = state.arrive(1, line, bytes: 0, at: 0)
        _ = state.arrive(2, line, bytes: 0, at: 0)
        #expect(try state.close(grant(), policies: [:], at: 10 * ms) == [.gateClosed])
        #expect(state.phase == .draining)
        #expect(state.end(1, at: 20 * ms) == [])
        #expect(state.end(2, at: 35 * ms) == [.drained])
        #expect(state.hold?.evidence.drainedAtMilliseconds == 25)
    }

    @Test func `a released gate forwards in order of arrival and gives evidence`() throws {
        var state = makeState()
        _ = try state.close(grant(9), policies: [:], at: 0)
        for id in UInt64(1)...3 { #expect(state.arrive(id, line, bytes: 1, at: id * 10 * ms) == []) }
        let actions = state.open(9, .released, at: 100 * ms)
        #expect(
            actions.prefix(4) == [
                .gateOpened, .forward(1, waited: 90 * ms), .forward(2, waited: 80 * ms), .forward(3, waited: 70 * ms),
            ])
        let result = try #require(evidence(in: actions))
        #expect(result.epoch == 9)
        #expect(result.requestsHeld == 3)
        #expect(result.longestRequestMilliseconds == 90)
        #expect(result.heldForMilliseconds == 100)
        #expect(result.drainedAtMilliseconds == 0)
        #expect(result.unbroken)
        #expect(result.ending == .released)
        #expect(state.phase == .open)
        #expect(state.evidence(of: 9) == result)
    }

    @Test func `a lease that is not renewed opens the gate and breaks the evidence`() throws {
        var state = makeState()
        _ = try state.close(grant(), policies: [:], at: 0)
        _ = state.arrive(1, line, bytes: 0, at: ms)
        #expect(state.nextWake == 5_000 * ms)
        #expect(state.advance(to: 4_999 * ms) == [])
        let actions = state.advance(to: 5_000 * ms)
        #expect(actions.contains(.forward(1, waited: 4_999 * ms)))
        let result = try #require(evidence(in: actions))
        #expect(!result.unbroken)
        #expect(result.ending == .leaseExpired)
        #expect(state.open(1, .released, at: 5_001 * ms) == [])
        #expect(state.evidence(of: 1)?.unbroken == false)
    }

    @Test func `a release after the lease is not unbroken even if the timer never came`() throws {
        var state = makeState()
        _ = try state.close(grant(), policies: [:], at: 0)
        let actions = state.open(1, .released, at: 5_000 * ms)
        #expect(evidence(in: actions)?.ending == .leaseExpired)
        #expect(evidence(in: actions)?.unbroken == false)
    }

    @Test func `a renewal extends the lease, and never beyond the cap`() throws {
        var state = makeState()
        _ = try state.close(grant(), policies: [:], at: 0)
        var now: UInt64 = 0
        for _ in 0..<3 {
            now += 4_000 * ms
            #expect(state.advance(to: now) == [])
            try state.renew(1, at: now)
        }
        #expect(state.nextWake == 15_000 * ms)
        let actions = state.advance(to: 15_000 * ms)
        #expect(evidence(in: actions)?.ending == .capReached)
        #expect(throws: HoldfastError.self) { try state.renew(1, at: 15_001 * ms) }
    }

    @Test func `only the open hold can be renewed or released`() throws {
        var state = makeState()
        _ = try state.close(grant(4), policies: [:], at: 0)
        #expect(throws: HoldfastError.self) { try state.renew(3, at: ms) }
        #expect(state.open(3, .released, at: ms) == [])
        #expect(state.phase == .holding)
        #expect(throws: HoldfastError.self) { try state.close(grant(5), policies: [:], at: ms) }
    }

    @Test func `requests over the bounds are refused and counted`() throws {
        var state = makeState(requests: 2, bytes: 100)
        _ = try state.close(grant(), policies: [:], at: 0)
        #expect(state.arrive(1, line, bytes: 90, at: 0) == [])
        #expect(state.arrive(2, line, bytes: 11, at: 0) == [.refuse(2, .tooManyBytes)])
        #expect(state.arrive(3, line, bytes: 10, at: 0) == [])
        #expect(state.arrive(4, line, bytes: 0, at: 0) == [.refuse(4, .tooManyParked)])
        let actions = state.open(1, .released, at: ms)
        #expect(evidence(in: actions)?.requestsRefused == 2)
        #expect(evidence(in: actions)?.requestsHeld == 2)
    }

    @Test func `a parked request that grows beyond the bound is refused, and takes no room any more`() throws {
        var state = makeState(bytes: 100)
        _ = try state.close(grant(), policies: [:], at: 0)
        for id in UInt64(1)...2 { #expect(state.arrive(id, line, bytes: 20, at: ms) == []) }
        #expect(state.buffered(1, bytes: 80, at: 2 * ms) == [])
        #expect(state.buffered(2, bytes: 21, at: 2 * ms) == [.refuse(2, .tooManyBytes)])
        #expect(state.parking.bytes == 80)
        #expect(state.buffered(2, bytes: 1_000, at: 2 * ms) == [])
        let actions = state.open(1, .released, at: 3 * ms)
        #expect(actions.contains(.forward(1, waited: 2 * ms)))
        #expect(evidence(in: actions)?.requestsRefused == 1)
    }

    @Test func `a request parked for too long is refused, the younger one is not`() throws {
        var state = makeState(age: 1_000 * ms)
        _ = try state.close(grant(), policies: [:], at: 0)
        _ = state.arrive(1, line, bytes: 0, at: 100 * ms)
        _ = state.arrive(2, line, bytes: 0, at: 500 * ms)
        #expect(state.nextWake == 1_100 * ms)
        #expect(state.advance(to: 1_100 * ms) == [.refuse(1, .parkedTooLong)])
        #expect(state.parking.count == 1)
    }

    @Test func `a parked request whose client leaves is never forwarded`() throws {
        var state = makeState()
        _ = try state.close(grant(), policies: [:], at: 0)
        for id in UInt64(1)...3 { _ = state.arrive(id, line, bytes: 5, at: ms) }
        #expect(state.leave(1, at: 2 * ms) == [])
        #expect(state.leave(2, at: 2 * ms) == [])
        #expect(state.parking.bytes == 5)
        let actions = state.open(1, .released, at: 3 * ms)
        #expect(actions.prefix(2) == [.gateOpened, .forward(3, waited: 2 * ms)])
        #expect(evidence(in: actions)?.requestsLeft == 2)
        #expect(evidence(in: actions)?.requestsHeld == 3)
    }

    @Test func `a stream does not keep a drain waiting, and stands still behind a closed gate`() throws {
        var state = makeState()
        _ = state.arrive(1, line, bytes: 0, at: 0)
        _ = state.arrive(2, line, bytes: 0, at: 0)
        #expect(state.becomeStream(1, policy: .freeze, at: 0) == [])
        _ = try state.close(grant(), policies: [.freeze: 1], at: ms)
        #expect(state.becomeStream(2, policy: .ignore, at: 2 * ms) == [.holdStream(2), .drained])
        let actions = state.open(1, .released, at: 3 * ms)
        #expect(evidence(in: actions)?.streamsFrozen == 1)
        #expect(evidence(in: actions)?.streamsIgnored == 1)
    }

    @Test func `a release is paced, keeps new requests behind the parked ones, and ends`() throws {
        var state = makeState(requests: 10_000)
        _ = try state.close(grant(), policies: [:], at: 0)
        for id in UInt64(1)...4_000 { _ = state.arrive(id, line, bytes: 0, at: ms) }
        var forwarded: [RequestID] = []
        var next: RequestID = 4_001
        var now = 2 * ms
        var actions = state.open(1, .released, at: now)
        var batches: [Int] = []
        while state.phase == .releasing {
            let batch = actions.compactMap { if case .forward(let id, _) = $0 { id } else { nil } }
            batches.append(batch.count)
            forwarded += batch
            // As many arrive all the time as were waiting: it must come to an end all the same.
            for _ in 0..<40 {
                #expect(state.arrive(next, line, bytes: 0, at: now) == [])
                next += 1
            }
            now = try #require(state.nextWake)
            actions = state.advance(to: now)
        }
        forwarded += actions.compactMap { if case .forward(let id, _) = $0 { id } else { nil } }
        #expect(forwarded == Array(1..<next))
        #expect(batches.first == 16)
        #expect(batches == batches.sorted())
        #expect(now < 1_000 * ms)
        #expect(evidence(in: actions)?.requestsHeld == 4_000)
    }

    @Test func `blockers are named with their age, the longest first`() throws {
        var state = makeState()
        _ = state.arrive(1, RequestLine(method: "GET", path: "/slow"), bytes: 0, at: 0)
        _ = state.arrive(2, RequestLine(method: "PUT", path: "/up"), bytes: 0, at: 400 * ms)
        let blockers = state.blockers(at: 1_500 * ms)
        #expect(blockers.map { "\($0.method) \($0.path)" } == ["GET /slow", "PUT /up"])
        #expect(blockers.map(\.milliseconds) == [1_500, 1_100])
    }
}
