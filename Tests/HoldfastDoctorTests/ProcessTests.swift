import Foundation
import HoldfastControl
import HoldfastDoctor
import HoldfastEnvironments
import HoldfastGateway
import HoldfastModel
import Testing

/// Judgements on what gateway and supervisors say of themselves.
@Suite struct ProcessTests {
    private func gateway(_ phase: HoldPhase, of environment: EnvironmentID, version: Int?) throws -> GatewayStatus {
        let json = """
            {"startedAt": 0, "pid": 77, "port": 1, "routes": 1, "clientConnections": 0, "upstreamConnections": 0,
             "counters": {"malformed": 0, "unknownHost": 0, "redirected": 0, "connectionsRefused": 0},
             "environments": [{"environment": "\(environment)", "phase": "\(phase.rawValue)", "running": 0,
               "parked": 3, "streams": 0, "counters": {"requests": 0, "forwarded": 0, "held": 0, "refused": 0,
               "badGateway": 0, "timedOut": 0, "retried": 0, "clientsLeft": 0}}]}
            """
        var status = try JSONDecoder().decode(GatewayStatus.self, from: Data(json.utf8))
        status.version = version
        return status
    }

    private func supervisor(_ environment: EnvironmentID, frozen: Bool) throws -> SupervisorStatus {
        let json = """
            {"environment": "\(environment)", "pid": 78, "version": \(Control.version), "phase": "running",
             "isHeld": \(frozen), "isFrozen": \(frozen), "freezeMethod": "signal",
             "user": {"name": "u", "uid": 1, "gid": 1, "home": "/"}, "processes": [], "services": [], "ports": {}}
            """
        return try JSONDecoder().decode(SupervisorStatus.self, from: Data(json.utf8))
    }

    @Test func `a gate that is closed, and processes that stand still, are wrong only while nothing works there`()
        throws
    {
        let bench = try Bench()
        func judged(_ phase: HoldPhase, frozen: Bool) throws -> [String] {
            let check = ProcessCheck(try bench.facts(), gatewaySocket: "")
            let gate = try check.judge(gateway(phase, of: bench.main.id, version: Control.version))
            let processes = try check.judge(supervisor(bench.main.id, frozen: frozen), of: bench.main, log: "x")
            return (gate + processes).map(\.check)
        }
        #expect(try judged(.open, frozen: false) == [])
        for phase in [HoldPhase.draining, .holding, .releasing] {
            #expect(try judged(phase, frozen: false) == ["gates"])
        }
        #expect(try judged(.open, frozen: true) == ["processes"])
        let backup = Activity(
            id: .random(), project: bench.project.id, environment: bench.main.id, type: .backup, user: nil, text: "x",
            createdAt: bench.time.now())
        try bench.catalogue.createActivity(backup)
        #expect(try judged(.holding, frozen: true) == ["gates", "processes"], "it only waits")
        _ = try bench.catalogue.claimActivity(in: .backup, at: bench.time.now())
        #expect(try judged(.holding, frozen: true) == [])
    }

    @Test func `a process of another version is named with its number, older and newer ones`() throws {
        let bench = try Bench()
        let check = ProcessCheck(try bench.facts(), gatewaySocket: "")
        for version in [nil, 0, Control.version + 1] {
            let findings = try check.judge(gateway(.open, of: bench.main.id, version: version))
            #expect(findings.map(\.check) == ["versions"])
            #expect(findings.first?.what.contains("process 77") == true)
        }
        let current = try check.judge(gateway(.open, of: bench.main.id, version: Control.version))
        #expect(current.isEmpty)
    }
}
