import Foundation
import HoldfastEnvironments
import HoldfastModel

/// Pause, resume, deactivate and delete: what stops or starts an environment without deploying anything.
struct LifecycleActivity {
    let environment: Environment
    let house: House
    let context: ActivityContext

    /// Stops everything and keeps the data.
    func pause() throws {
        // The status comes first: whoever watches must not start again what is stopped here.
        try set(.paused)
        try house.supervisors.stop(environment.id)
        context.log("Environment \(environment.name) is paused; its data stays.")
    }

    /// Starts what was paused.
    func resume() throws {
        try house.supervisors.client(environment.id).apply(ApplyOptions())
        try set(.active)
        context.log("Environment \(environment.name) runs again.")
    }

    /// Stops everything and deletes services and data. Backups stay.
    func deactivate() throws {
        try set(.inactive)
        try house.supervisors.stop(environment.id)
        try house.layout(environment.id).removeData()
        context.log("Environment \(environment.name) is inactive; its services and data are deleted, its backups stay.")
    }

    /// Deactivates and forgets the environment. Its backups stay restorable into others.
    func delete() throws {
        try deactivate()
        if house.environmentUser == nil { try ProcessUser.remove(for: environment.id) }
        try house.catalogue.removeEnvironment(environment.id)
        context.log("Environment \(environment.name) is deleted.")
    }

    private func set(_ status: EnvironmentStatus) throws {
        var updated = try house.catalogue.environment(environment.id)
        updated.status = status
        updated.updatedAt = house.time.now()
        try house.catalogue.update(updated)
        try house.supervisors.publishRoutes()
    }
}
