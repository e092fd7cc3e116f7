import Foundation
import HoldfastControl
import HoldfastModel

/// Answers one control connection of a supervisor. The connection that opened a hold is that hold's lease.
final class SupervisorSession: ControlSession {
    private let supervisor: Supervisor
    /// The hold that was opened on this connection. Only touched by the connection's thread.
    private var hold: UInt64?

    init(_ supervisor: Supervisor) { self.supervisor = supervisor }

    func handle(_ frame: Data) throws -> Data {
        supervisor.waitUntilAdopted()
        switch try Control.decode(SupervisorRequest.self, from: frame) {
        case .status: return try Control.encode(supervisor.status())
        case .apply(let options): return try Control.encode(LinesAnswer(lines: try supervisor.apply(options)))
        case .startAside(let request):
            return try Control.encode(LinesAnswer(lines: try supervisor.startAside(request)))
        case .stopAside(let service, let record): try supervisor.stopAside(service, record)
        case .startAppsAside(let state):
            return try Control.encode(PortsAnswer(ports: try supervisor.startAppsAside(state)))
        case .dropAside: try supervisor.dropAside()
        case .runCron(let app, let cron): return try Control.encode(try supervisor.runCron(app, cron))
        case .stop: try supervisor.stopAll()
        case .beginFreeze(let milliseconds): return try begin(.milliseconds(milliseconds))
        case .renewFreeze(let hold, let until): try renew(hold, until)
        case .quiesce(let hold, let milliseconds):
            return try Control.encode(try supervisor.quiesce(hold, timeout: .milliseconds(milliseconds)))
        case .freeze(let hold): return try Control.encode(try supervisor.freezeAll(hold))
        case .thaw(let hold): try supervisor.endFreeze(hold, because: "asked to")
        }
        return try Control.encode(EmptyAnswer())
    }

    func connectionClosed() {
        guard let hold else { return }
        try? supervisor.endFreeze(hold, because: "its connection ended")
    }

    private func begin(_ lease: Duration) throws -> Data {
        guard hold == nil else {
            throw HoldfastError(.conflict, "this connection has opened a freeze before", hint: "Connect anew")
        }
        guard lease <= .seconds(60) else {
            throw HoldfastError(.invalidInput, "a lease of \(lease) is longer than 60 s", hint: "Renew a shorter one")
        }
        let id = try supervisor.beginFreeze(lease: lease)
        hold = id
        return try Control.encode(FreezeGranted(hold: id))
    }

    private func renew(_ id: UInt64, _ until: UInt64?) throws {
        guard hold == id else {
            throw HoldfastError(.conflict, "freeze \(id) was not opened on this connection")
        }
        try supervisor.freeze.renew(id, until: until)
    }
}
