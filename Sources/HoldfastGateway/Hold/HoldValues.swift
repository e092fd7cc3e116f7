import Foundation

/// Numbers requests of a gateway in order of arrival.
package typealias RequestID = UInt64

package enum HoldPhase: String, Codable, Sendable, CaseIterable {
    /// Requests go through.
    case open
    /// New requests are parked, and some that were sent on before still run.
    case draining
    /// New requests are parked, and none runs.
    case holding
    /// The hold has ended; parked requests are sent on in batches, and new ones line up behind them.
    case releasing
}

/// What the driver of a `HoldState` has to do, in this order.
package enum HoldAction: Sendable, Equatable {
    /// Send it to the app; it waited that many nanoseconds, nil if it did not.
    case forward(RequestID, waited: UInt64?)
    /// Answer 503; it must not reach the app.
    case refuse(RequestID, GateRefusal)
    /// Close unused connections to the app, and hold the streams.
    case gateClosed
    /// A request became a stream behind a closed gate: hold it.
    case holdStream(RequestID)
    /// No request runs any more: answer those who wait for that.
    case drained
    /// Let the streams go on; those who wait for a drain wait in vain.
    case gateOpened
    /// Nothing is parked any more: answer those who wait for the evidence.
    case finished(GateEvidence)
}

/// Why a request was refused at the gate.
package enum GateRefusal: Sendable, Equatable {
    case tooManyParked
    case tooManyBytes
    case parkedTooLong
}

/// The bounds of what may be parked in one environment.
package struct HoldBounds: Sendable, Equatable {
    package var parkedRequests: Int
    package var parkedBytes: Int
    package var parkedNanoseconds: UInt64

    package init(parkedRequests: Int, parkedBytes: Int, parkedNanoseconds: UInt64) {
        self.parkedRequests = parkedRequests
        self.parkedBytes = parkedBytes
        self.parkedNanoseconds = parkedNanoseconds
    }
}

/// Who holds: the number of the hold, and the control connection that owns it.
package struct HoldOwner: Sendable, Equatable {
    package var epoch: UInt64
    package var connection: UInt64

    package init(epoch: UInt64, connection: UInt64) {
        self.epoch = epoch
        self.connection = connection
    }
}

/// A wish to close the gate. Lengths in nanoseconds.
package struct HoldGrant: Sendable {
    package var owner: HoldOwner
    package var lease: UInt64
    package var cap: UInt64
    package var wallClock: Date

    package init(owner: HoldOwner, lease: UInt64, cap: UInt64, wallClock: Date) {
        self.owner = owner
        self.lease = lease
        self.cap = cap
        self.wallClock = wallClock
    }
}

/// What is said of a request to people.
package struct RequestLine: Sendable, Equatable {
    package var method: String
    /// Without the query.
    package var path: String

    package init(method: String, path: String) {
        self.method = method
        self.path = path
    }
}

package struct RunningRequest: Sendable, Equatable {
    package var line: RequestLine
    package var since: UInt64
    /// All of it has come from the client: how long it takes from now on is up to the app.
    package var isReceived = false
    /// When something of it came last from the client; nil before anything of a body did.
    package var lastInput: UInt64?
    /// Nobody waits for the answer any more, and the app has not ended it.
    package var isGivenUp = false
}

package struct ParkedRequest: Sendable, Equatable {
    package var line: RequestLine
    package var bytes: Int
    package var since: UInt64
    /// Parked while the gate was closed; those that only line up behind it do not count for the hold.
    package var isEvidence: Bool
}

/// Parked requests in order of arrival, with removal from anywhere.
package struct ParkingLot: Sendable {
    package private(set) var bytes = 0
    private var requests: [RequestID: ParkedRequest] = [:]
    private var order: [RequestID] = []
    private var front = 0

    package var count: Int { requests.count }
    package var isEmpty: Bool { requests.isEmpty }

    package func contains(_ id: RequestID) -> Bool { requests[id] != nil }

    /// When the longest waiting one came.
    package var oldestArrival: UInt64? { front < order.count ? requests[order[front]]?.since : nil }

    package mutating func park(_ id: RequestID, _ request: ParkedRequest) {
        requests[id] = request
        order.append(id)
        bytes += request.bytes
    }

    package mutating func resize(_ id: RequestID, to bytes: Int) {
        guard let before = requests[id]?.bytes else { return }
        requests[id]?.bytes = bytes
        self.bytes += bytes - before
    }

    package mutating func removeFirst() -> (RequestID, ParkedRequest)? {
        guard front < order.count else { return nil }
        let id = order[front]
        return remove(id).map { (id, $0) }
    }

    package mutating func remove(_ id: RequestID) -> ParkedRequest? {
        guard let request = requests.removeValue(forKey: id) else { return nil }
        bytes -= request.bytes
        // The front always names a parked request; what was removed behind it is skipped when it gets there.
        while front < order.count, requests[order[front]] == nil { front += 1 }
        if front == order.count {
            order.removeAll(keepingCapacity: false)
            front = 0
        }
        return request
    }
}

/// How fast parked requests are sent on: in batches that grow, so that an app that just woke up is not overrun, and
/// so that it ends however fast new requests line up. Four thousand take about a fifth of a second.
package struct ReleasePace: Sendable {
    package static let interval: UInt64 = 10_000_000
    private static let firstBatch = 16.0
    private static let growth = 1.2

    package private(set) var nextBatchAt: UInt64?
    private var batch = Self.firstBatch

    package init() {}

    package init(startingAt now: UInt64) { nextBatchAt = now }

    /// How many may go now; zero before the next batch is due.
    package mutating func take(at now: UInt64) -> Int {
        guard let due = nextBatchAt, now >= due else { return 0 }
        nextBatchAt = now + Self.interval
        defer { batch = min(batch * Self.growth, 1_000_000) }
        return Int(batch)
    }
}

extension GateEvidence {
    package mutating func count(_ policy: StreamPolicy, _ number: Int = 1) {
        switch policy {
        case .freeze: streamsFrozen += number
        case .ignore: streamsIgnored += number
        case .close: ()
        }
    }
}
