import Foundation
import HoldfastModel

/// One environment's gate as a value: what happens comes in by its methods, what is to be done comes out as actions.
///
/// Legal moves: open -> draining -> holding -> releasing -> open; draining -> releasing when the hold ends before the
/// last running request; open -> holding when nothing runs; releasing -> open when nothing is parked any more.
///
/// It reads no clock: every method takes the time, and what is due by then is done first. So a lease that ran out is
/// noticed by whatever comes next, even if the timer is late. Times are nanoseconds of a monotonic clock.
package struct HoldState: Sendable {
    package private(set) var phase: HoldPhase = .open
    package private(set) var limits: HoldBounds
    /// The open hold, and until the last parked request has left also the one that has ended.
    package private(set) var hold: Hold?
    package private(set) var lastEvidence: GateEvidence?
    package private(set) var running: [RequestID: RunningRequest] = [:]
    package private(set) var streams: Set<RequestID> = []
    package private(set) var parking = ParkingLot()
    private var pace = ReleasePace()

    package init(limits: HoldBounds) { self.limits = limits }

    /// An open or ending hold.
    package struct Hold: Sendable, Equatable {
        package var owner: HoldOwner
        package var lease: UInt64
        /// When the lease runs out, unless renewed.
        package var leaseEnd: UInt64
        /// When the gate opens in any case.
        package var capEnd: UInt64
        package var closedAt: UInt64
        package var evidence: GateEvidence

        package var deadline: UInt64 { min(leaseEnd, capEnd) }
    }

    package var isClosed: Bool { phase == .draining || phase == .holding }

    /// When `advance` must be called at the latest; nil if there is nothing to wait for.
    package var nextWake: UInt64? {
        switch phase {
        case .open: nil
        case .releasing: pace.nextBatchAt
        case .draining, .holding:
            [hold?.deadline, parking.oldestArrival.map { $0 + limits.parkedNanoseconds }].compactMap(\.self).min()
        }
    }

    package mutating func set(limits: HoldBounds) { self.limits = limits }

    // MARK: Requests

    /// A request is complete enough to be sent on; `bytes` of it are in memory.
    package mutating func arrive(_ id: RequestID, _ line: RequestLine, bytes: Int, at now: UInt64) -> [HoldAction] {
        var actions = advance(to: now)
        if phase == .open {
            running[id] = RunningRequest(line: line, since: now)
            actions.append(.forward(id, waited: nil))
        } else if parking.count >= limits.parkedRequests {
            hold?.evidence.requestsRefused += 1
            actions.append(.refuse(id, .tooManyParked))
        } else if parking.bytes + bytes > limits.parkedBytes {
            hold?.evidence.requestsRefused += 1
            actions.append(.refuse(id, .tooManyBytes))
        } else {
            if isClosed { hold?.evidence.requestsHeld += 1 }
            parking.park(id, ParkedRequest(line: line, bytes: bytes, since: now, isEvidence: isClosed))
        }
        return actions
    }

    /// More of a parked request has come, which nobody asked for; `bytes` of it are in memory now.
    package mutating func buffered(_ id: RequestID, bytes: Int, at now: UInt64) -> [HoldAction] {
        var actions = advance(to: now)
        parking.resize(id, to: bytes)
        if parking.bytes > limits.parkedBytes, let parked = parking.remove(id) {
            note(parked, until: now)
            hold?.evidence.requestsRefused += 1
            actions.append(.refuse(id, .tooManyBytes))
            finishIfEmpty(&actions)
        }
        return actions
    }

    /// A request's client went away. One that was parked will never be sent on.
    package mutating func leave(_ id: RequestID, at now: UInt64) -> [HoldAction] {
        var actions = advance(to: now)
        if let parked = parking.remove(id) {
            note(parked, until: now)
            hold?.evidence.requestsLeft += 1
            finishIfEmpty(&actions)
        }
        return actions
    }

    /// More of a forwarded request has come from its client.
    package mutating func received(_ id: RequestID, isAll: Bool, at now: UInt64) {
        running[id]?.lastInput = now
        if isAll { running[id]?.isReceived = true }
    }

    /// Nobody waits any more for the answer to a forwarded request. It runs on.
    package mutating func giveUp(_ id: RequestID) { running[id]?.isGivenUp = true }

    /// A forwarded request has ended, in whatever way: the app is done with it.
    package mutating func end(_ id: RequestID, at now: UInt64) -> [HoldAction] {
        var actions = advance(to: now)
        streams.remove(id)
        if running.removeValue(forKey: id) != nil { drainedIfEmpty(&actions, at: now) }
        return actions
    }

    /// A forwarded request became a stream without an end of its own: it is held by back-pressure, not by waiting.
    package mutating func becomeStream(_ id: RequestID, policy: StreamPolicy, at now: UInt64) -> [HoldAction] {
        var actions = advance(to: now)
        guard running.removeValue(forKey: id) != nil else { return actions }
        streams.insert(id)
        if isClosed {
            hold?.evidence.count(policy)
            actions.append(.holdStream(id))
        }
        drainedIfEmpty(&actions, at: now)
        return actions
    }

    // MARK: The hold

    /// Closes the gate. What is due must have been done before, see `advance`.
    ///
    /// - Parameter policies: how many streams are open by policy, for the evidence.
    /// - Throws: `locked` unless the gate is open, `invalidInput` for a lease or a cap of no length.
    package mutating func close(
        _ grant: HoldGrant, policies: [StreamPolicy: Int], at now: UInt64
    ) throws -> [HoldAction] {
        guard phase == .open else {
            throw HoldfastError(
                .locked, "the gate is \(phase.rawValue) by hold \(hold?.owner.epoch ?? 0)",
                hint: "Try again when that hold has ended")
        }
        guard grant.lease > 0, grant.cap > 0 else {
            throw HoldfastError(.invalidInput, "a hold without a length", hint: "Give a lease and a cap")
        }
        var evidence = GateEvidence(epoch: grant.owner.epoch, closedAt: grant.wallClock, ending: .released)
        for (policy, count) in policies { evidence.count(policy, count) }
        hold = Hold(
            owner: grant.owner, lease: grant.lease, leaseEnd: now + grant.lease, capEnd: now + grant.cap,
            closedAt: now, evidence: evidence)
        phase = .draining
        var actions = [HoldAction.gateClosed]
        drainedIfEmpty(&actions, at: now)
        return actions
    }

    /// Extends the lease from now. What is due must have been done before, see `advance`.
    ///
    /// - Throws: `conflict` if this hold is not the open one.
    package mutating func renew(_ epoch: UInt64, at now: UInt64) throws {
        guard isClosed, var hold, hold.owner.epoch == epoch, now < hold.deadline else { throw ended(epoch) }
        hold.leaseEnd = now + hold.lease
        self.hold = hold
    }

    /// Opens the gate because its holder says so, or is gone.
    ///
    /// A hold that is not open any more is left as it is.
    package mutating func open(_ epoch: UInt64, _ ending: HoldEnding, at now: UInt64) -> [HoldAction] {
        var actions = advance(to: now)
        if isClosed, hold?.owner.epoch == epoch { beginRelease(ending, &actions, at: now) }
        return actions
    }

    /// What a hold that ended did; nil while it has not, or if it was never here.
    package func evidence(of epoch: UInt64) -> GateEvidence? {
        lastEvidence?.epoch == epoch ? lastEvidence : nil
    }

    /// What still runs, the longest first.
    package func blockers(at now: UInt64) -> [DrainBlocker] {
        running.sorted { ($0.value.since, $0.key) < ($1.value.since, $1.key) }.map { id, request in
            DrainBlocker(
                id: id, method: request.line.method, path: request.line.path,
                milliseconds: milliseconds(from: min(request.since, now), to: now), isReceived: request.isReceived,
                silentMilliseconds: milliseconds(from: min(request.lastInput ?? request.since, now), to: now),
                isGivenUp: request.isGivenUp ? true : nil)
        }
    }

    package func ended(_ epoch: UInt64) -> HoldfastError {
        let reason = evidence(of: epoch).map { ": \($0.ending.text)" } ?? ""
        return HoldfastError(
            .conflict, "hold \(epoch) is not open\(reason)",
            hint: "Take a new hold; what was done under this one does not count")
    }

    // MARK: Time

    /// Does what is due: opens the gate at the end of lease or cap, refuses what is parked too long, releases the
    /// next batch.
    package mutating func advance(to now: UInt64) -> [HoldAction] {
        var actions: [HoldAction] = []
        if isClosed, let hold, now >= hold.deadline {
            beginRelease(hold.capEnd <= hold.leaseEnd ? .capReached : .leaseExpired, &actions, at: now)
        }
        if isClosed { refuseAged(&actions, at: now) }
        if phase == .releasing { releaseDue(&actions, at: now) }
        return actions
    }

    private mutating func beginRelease(_ ending: HoldEnding, _ actions: inout [HoldAction], at now: UInt64) {
        guard var hold else { return }
        hold.evidence.heldForMilliseconds = milliseconds(from: hold.closedAt, to: now)
        hold.evidence.ending = ending
        hold.evidence.unbroken = ending == .released && now < hold.deadline
        self.hold = hold
        phase = .releasing
        pace = ReleasePace(startingAt: now)
        actions.append(.gateOpened)
        releaseDue(&actions, at: now)
    }

    private mutating func releaseDue(_ actions: inout [HoldAction], at now: UInt64) {
        for _ in 0..<pace.take(at: now) {
            guard let (id, parked) = parking.removeFirst() else { break }
            note(parked, until: now)
            running[id] = RunningRequest(line: parked.line, since: now)
            actions.append(.forward(id, waited: now - parked.since))
        }
        finishIfEmpty(&actions)
    }

    private mutating func refuseAged(_ actions: inout [HoldAction], at now: UInt64) {
        while let oldest = parking.oldestArrival, now >= oldest + limits.parkedNanoseconds,
            let (id, parked) = parking.removeFirst()
        {
            note(parked, until: now)
            hold?.evidence.requestsRefused += 1
            actions.append(.refuse(id, .parkedTooLong))
        }
    }

    private mutating func drainedIfEmpty(_ actions: inout [HoldAction], at now: UInt64) {
        guard phase == .draining, running.isEmpty, let closedAt = hold?.closedAt else { return }
        phase = .holding
        hold?.evidence.drainedAtMilliseconds = milliseconds(from: closedAt, to: now)
        actions.append(.drained)
    }

    private mutating func finishIfEmpty(_ actions: inout [HoldAction]) {
        guard phase == .releasing, parking.isEmpty, let ended = hold else { return }
        phase = .open
        hold = nil
        lastEvidence = ended.evidence
        actions.append(.finished(ended.evidence))
    }

    private mutating func note(_ parked: ParkedRequest, until now: UInt64) {
        guard parked.isEvidence, let longest = hold?.evidence.longestRequestMilliseconds else { return }
        hold?.evidence.longestRequestMilliseconds = max(longest, milliseconds(from: parked.since, to: now))
    }
}

private func milliseconds(from start: UInt64, to end: UInt64) -> Double { Double(end - start) / 1_000_000 }
