import Foundation
import HoldfastControl
import HoldfastEnvironments
import HoldfastGateway
import HoldfastModel

/// Gateway and supervisors: whether they run, are of this version, and hold nothing that they should not.
package struct ProcessCheck: Sendable {
    let facts: InstallationFacts
    let gatewaySocket: String

    package init(_ facts: InstallationFacts, gatewaySocket: String) {
        self.facts = facts
        self.gatewaySocket = gatewaySocket
    }

    private var active: [Environment] { facts.environments.filter { $0.status == .active } }

    package func findings() -> [Finding] {
        guard !active.isEmpty else { return [.good("processes", "no environment is active")] }
        let gateway = try? GatewayClient(socketPath: gatewaySocket, timeout: .seconds(3)).status()
        var found: [Finding] = []
        if let gateway {
            found += judge(gateway)
        } else {
            found.append(
                .wrong(
                    "gateway", "the gateway does not answer", "Start holdfast serve, which starts it, or see its log"))
        }
        for environment in active {
            let layout = EnvironmentLayout(home: facts.home, run: facts.run, environment: environment.id)
            let status = try? SupervisorClient(socketPath: layout.socket).status()
            found += judge(status, of: environment, log: layout.superviseLog)
        }
        return found.orGood("processes", "the gateway and \(active.count) supervisors run, and nothing stands still")
    }

    /// Decides without looking.
    package func judge(_ gateway: GatewayStatus) -> [Finding] {
        var found: [Finding] = []
        if let line = Control.versionProblem("The gateway", gateway.version, gateway.pid) {
            found.append(.wrong("versions", line, "See Upgrading in docs/operations.md"))
        }
        if let problem = gateway.problem {
            found.append(.wrong("gateway", problem, "Restart holdfast serve, which tells it its routes anew"))
        }
        for gate in gateway.environments where gate.phase != .open && !facts.isBusy(gate.environment) {
            let environment = facts.environments.first { $0.id == gate.environment }
            let name = environment.map(facts.name) ?? gate.environment.rawValue
            found.append(
                .wrong(
                    "gates",
                    "the gate of \(name) is \(gate.phase.rawValue), \(gate.parked) wait, and nothing works there",
                    "Wait half a minute: a hold ends by itself; then send the gateway a SIGTERM"))
        }
        return found
    }

    /// Decides with what the supervisor said; nil if it does not answer.
    package func judge(_ status: SupervisorStatus?, of environment: Environment, log: String) -> [Finding] {
        let name = facts.name(environment)
        let isFrozen = status?.isFrozen ?? CgroupTree.isFrozen(environment.id)
        var found: [Finding] = []
        if isFrozen, !facts.isBusy(environment.id) {
            found.append(
                .wrong(
                    "processes", "the processes of \(name) are frozen, and no activity runs there",
                    "Wait half a minute: the guard thaws them; then send its supervisor a SIGTERM"))
        }
        guard let status else {
            let advice = "Start holdfast serve, which starts it; look into \(log)"
            return found + [.wrong("processes", "the supervisor of \(name) does not answer", advice)]
        }
        if let line = Control.versionProblem("The supervisor of \(name)", status.version, status.pid) {
            found.append(.wrong("versions", line, "See Upgrading in docs/operations.md"))
        }
        if let problem = status.problem { found.append(.wrong("processes", "\(name): \(problem)", "Look into \(log)")) }
        let failing = status.processes.filter { $0.phase == .backingOff }.map(\.key)
        if !failing.isEmpty {
            found.append(
                .wrong(
                    "processes", "\(name): \(failing.joined(separator: ", ")) ends again and again",
                    "Look into its log beside \(log)"))
        }
        return found
    }
}

/// How processes are made to stand still here.
package struct FreezerCheck: Sendable {
    package init() {}

    package func findings(_ method: FreezeMethod = CgroupTree.available(), isRoot: Bool = geteuid() == 0) -> [Finding] {
        let check = "freezer"
        switch method {
        case .cgroup2: return [.good(check, "processes are frozen with cgroups, version 2")]
        case .cgroup1: return [.good(check, "processes are frozen with cgroups, version 1")]
        case .signal:
            let why = isRoot ? "there is no cgroup freezer that can be written" : "this user may not use cgroups"
            return [
                .note(
                    check, "processes are frozen with SIGSTOP: \(why)",
                    "Run as root with cgroups if a parent process sees it")
            ]
        }
    }
}
