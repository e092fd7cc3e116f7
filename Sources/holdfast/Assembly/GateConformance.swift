import HoldfastBackup
import HoldfastEnvironments
import HoldfastGateway
import HoldfastModel

// The ports that HoldfastBackup declares, met by the clients of gateway and supervisor.

/// The gateway as the gate.
struct GatewayGate: RequestGate {
    let client: GatewayClient

    func hold(_ environment: EnvironmentID, lease: Duration, cap: Duration) throws -> any GateHold {
        Hold(hold: try client.hold(environment, lease: lease, cap: cap))
    }

    func running(_ environment: EnvironmentID) throws -> [PassedRequest] {
        try client.running(environment).map(PassedRequest.init)
    }

    private struct Hold: GateHold {
        let hold: GatewayHold
        var epoch: UInt64 { hold.epoch }

        func drain(timeout: Duration) throws -> DrainOutcome {
            let result = try hold.drain(timeout: timeout)
            guard !result.drained else { return .drained(atMilliseconds: result.drainedAtMilliseconds ?? 0) }
            return .blocked(by: result.blockers.map(PassedRequest.init))
        }

        func renew() throws { try hold.renew() }
        func abandon() { hold.abandon() }

        func release() throws -> GateReport {
            let evidence = try hold.release()
            var report = GateReport(
                closedAt: evidence.closedAt, heldForMilliseconds: evidence.heldForMilliseconds,
                requestsHeld: evidence.requestsHeld, longestRequestMilliseconds: evidence.longestRequestMilliseconds,
                requestsRefused: evidence.requestsRefused, unbroken: evidence.unbroken)
            report.requestsLeft = evidence.requestsLeft
            report.streamsFrozen = evidence.streamsFrozen
            report.streamsIgnored = evidence.streamsIgnored
            return report
        }
    }
}

extension PassedRequest {
    fileprivate init(_ blocker: DrainBlocker) {
        self.init(
            id: blocker.id, line: "\(blocker.method) \(blocker.path)", milliseconds: blocker.milliseconds,
            isReceived: blocker.isReceived, silentMilliseconds: blocker.silentMilliseconds,
            isGivenUp: blocker.isGivenUp ?? false)
    }
}

/// The supervisor as what freezes.
struct SupervisorFreezer: ProcessFreezer {
    let supervisors: any Supervisors

    func beginFreeze(_ environment: EnvironmentID, lease: Duration) throws -> any FreezeLease {
        Lease(hold: try supervisors.client(environment).freezeHold(lease: lease))
    }

    private struct Lease: FreezeLease {
        let hold: FreezeHold
        func quiesce(timeout: Duration) throws -> [String] { try hold.quiesce(timeout: timeout).late }
        func freeze() throws -> FreezeOutcome {
            let result = try hold.freeze()
            return FreezeOutcome(method: result.method, workersFrozenInPlace: result.workersFrozenInPlace)
        }
        func renew(until: UInt64) throws { try hold.renew(until: until) }
        func thaw() throws { try hold.thaw() }
        func abandon() { hold.abandon() }
    }
}
