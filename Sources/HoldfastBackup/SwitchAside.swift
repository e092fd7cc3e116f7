import Foundation
import HoldfastEnvironments
import HoldfastModel

/// Brings the apps of a new state up beside the live ones, before the gate is closed: the switch then has no wait.
struct SwitchAside {
    let environment: Environment
    let layout: EnvironmentLayout
    let house: House
    let context: ActivityContext

    /// - Parameter runsHooks: whether the switch runs deploy hooks. An app with one never starts before its hook has
    ///   ended: it may need what the hook makes, such as a table.
    /// - Returns: app name -> port of what runs beside; nil if that cannot be, and the switch has to start the apps.
    /// - Throws: `timedOut` if an app does not listen: nobody had to wait to find that out.
    func start(_ new: CurrentState, beside old: CurrentState, runsHooks: Bool) throws -> [String: Int]? {
        guard environment.status == .active, canRunBeside(new, old) else { return nil }
        let configuration = try EnvironmentConfiguration.parse(new.deployment.configuration)
        let client = try house.supervisors.client(environment.id)
        do {
            try startServices(of: new, configuration, client)
            if runsHooks, configuration.applications.values.contains(where: { $0.hooks.deploy != nil }) { return nil }
            let ports = try client.startAppsAside(new)
            for (app, port) in ports.sorted(by: { $0.key < $1.key }) {
                context.log("App \(app) listens beside the live one, on port \(port)")
            }
            return ports
        } catch let error as HoldfastError where error.code != .timedOut && error.code != .cancelled {
            // It may need what the live one holds.
            try? client.dropAside()
            context.log("The new state does not come up beside the live one: \(error.message)")
            context.log("It is tried again in its place, for \(house.switchReady.components.seconds) s at most.")
            return nil
        } catch {
            try? client.dropAside()
            if runsHooks {
                context.log(
                    "If it waits for what the running app holds: with a deploy hook it starts after that one.")
            }
            throw error
        }
    }

    /// Two processes of an app need folders of their own where their mounts differ: the links lie in them.
    private func canRunBeside(_ new: CurrentState, _ old: CurrentState) -> Bool {
        new.apps.allSatisfy { app, directory in
            !old.apps.values.contains(directory) || (new.mounts[app] ?? [:]) == (old.mounts[app] ?? [:])
        }
    }

    /// Services that do not run on the new state's data yet; a restore has started its own before.
    private func startServices(
        of new: CurrentState, _ configuration: EnvironmentConfiguration, _ client: SupervisorClient
    ) throws {
        let running = Set(try client.status().services.filter(\.isReady).map(\.record))
        for (name, record) in new.services.sorted(by: { $0.key < $1.key }) where !running.contains(record) {
            try client.startAside(
                service: name, record: record, configuration: configuration.services[name], manifest: nil)
        }
    }
}
