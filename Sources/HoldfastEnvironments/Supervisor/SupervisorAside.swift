import Foundation
import HoldfastModel

/// Apps of a state that is not live yet, beside those that are: a switch then has nothing to wait for.
extension Supervisor {
    /// Starts the apps of a state, each on a port of its own, and waits until they listen.
    ///
    /// - Returns: app name -> port.
    /// - Throws: what the first app that did not come up says; none of them runs then.
    func startAppsAside(_ current: CurrentState) throws -> [String: Int] {
        try exclusively("starting apps aside") {
            waitForStopping()
            try dropAsideApps(except: nil)
            let configuration = try parts.configuration(current.deployment)
            let desired = DesiredProcesses(current: current, configuration: configuration) { [ports] key in
                try ports.port(for: key.hasPrefix("app:") ? "aside:" + key.dropFirst(4) : key)
            }
            var records = try desired.records().filter { $0.kind == .web }
            for index in records.indices {
                records[index].isAside = true
                records[index].key = freeKey(records[index].key)
            }
            let asidePorts = Dictionary(records.compactMap { record in record.port.map { (record.name, $0) } }) { $1 }
            let applied = Applied(current: current, configuration: configuration)
            let starter = AppStarter(supervisor: self, isFirst: false)
            do {
                try Concurrently.forEach(records, "start aside") { [self] record in
                    guard let app = configuration.applications[record.name] else { return }
                    let runtime = try AppRuntime(app: app, applied: applied, supervisor: self, asidePorts: asidePorts)
                    try runtime.makeMounts()
                    try starter.startWeb(record, runtime)
                }
            } catch {
                try? dropAsideApps(except: nil)
                throw error
            }
            return asideApps.reduce(into: [:]) { result, process in result[process.record.name] = process.record.port }
        }
    }

    /// Stops what runs aside, unless `current.json` names it: then the next apply takes it over.
    func dropAside() throws {
        let current = try layout.readCurrent()
        try dropAsideApps(except: current)
        let live = Set((current?.services ?? [:]).values.map(\.directory))
        let services = state.read { Array($0.processes.values) }.filter { process in
            let record = process.record
            return record.kind == .service && record.isAside && !live.contains(record.service?.directory ?? "")
        }
        try stop(services.map(\.key))
    }

    private var asideApps: [ManagedProcess] {
        state.read { Array($0.processes.values) }.filter { $0.kind == .web && $0.record.isAside }
    }

    private func dropAsideApps(except current: CurrentState?) throws {
        let unwanted = asideApps.filter { process in
            guard let current, let directory = current.apps[process.record.name] else { return true }
            let deployment = current.deployment
            return !process.record.fingerprint.hasPrefix("\(deployment.id) \(deployment.commit) \(directory) ")
        }
        try stop(unwanted.map(\.key))
        if asideApps.isEmpty { try ports.forget { $0.hasPrefix("aside:") } }
    }

    /// Another key while a process of the app has the usual one: the live one, or one that still ends.
    private func freeKey(_ key: String) -> String {
        var free = key
        var number = 1
        while process(free) != nil {
            number += 1
            free = "\(key)/\(number)"
        }
        return free
    }
}
