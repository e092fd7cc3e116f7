import Foundation
import HoldfastEnvironments
import HoldfastModel

/// Builds a commit beside what runs, then switches the environment to it. A commit that does not build changes nothing.
///
/// The push, `environment:redeploy` and `environment:activate` all come here.
struct DeployActivity {
    let environment: Environment
    let commit: String
    let house: House
    let context: ActivityContext

    func run() throws {
        let project = try house.catalogue.project(environment.project)
        let layout = house.layout(environment.id)
        try house.writeIdentity(of: environment)
        let old = try layout.readCurrent()
        if let restored = old?.deployment.restoredFrom {
            context.log(
                "The environment runs commit \(short(old?.deployment.commit ?? "")) restored from backup \(restored); "
                    + "the repository's code takes its place.")
        }
        let built = try build(project, layout)
        context.progress(50)
        do {
            try context.cancellation.close(because: "is built, switches, and cannot be cancelled any more")
            var new = try state(of: built, after: old, layout)
            new.switchedBy = context.activity.id
            try switchTo(new, from: old, layout)
        } catch {
            layout.discardAside()
            throw error
        }
        try record()
    }

    private func build(_ project: Project, _ layout: EnvironmentLayout) throws -> BuiltDeployment {
        context.cancellation.open()
        context.log("Building commit \(short(commit)) of \(environment.name).")
        let variables = try house.catalogue.variables(project: project.id, environment: environment.id)
        var builder = Builder(
            environment: environment, layout: layout,
            repository: GitRepository(path: house.gitDirectory(project.id)), user: try house.user(of: environment.id),
            types: house.types, time: house.time)
        builder.hookTimeout = house.buildTimeout
        builder.isCancelled = { [cancellation = context.cancellation] in cancellation.isRequested }
        return try builder.build(commit: commit, variables: variables) { context.log($0) }
    }

    /// Services and mounts that are there stay; new ones get empty directories; those that left are kept on disk.
    private func state(
        of built: BuiltDeployment, after old: CurrentState?, _ layout: EnvironmentLayout
    ) throws -> CurrentState {
        var state = CurrentState(deployment: built.record)
        state.generation = (old?.generation ?? 0) + 1
        state.apps = built.apps
        for (name, service) in built.configuration.services {
            let type = service.type.description
            if let known = old?.services[name] {
                guard known.type == type else {
                    throw HoldfastError(
                        .unsupported, "service \(name) is \(known.type) and cannot become \(type) in place",
                        hint: "Give the new service another name and move the data")
                }
                state.services[name] = known
            } else if !service.type.isNetworkStorage {
                state.services[name] = ServiceRecord(
                    type: type, directory: try layout.nextDirectory("services/\(name)"))
            }
        }
        let (known, new) = Self.partition(built.configuration.mountPlacements(), by: old)
        // What is there comes first: an app that joins a storage shares it, whatever its name.
        var directories: [String: String] = [:]
        for (placement, directory) in known {
            directories[placement.directoryPrefix] = directories[placement.directoryPrefix] ?? directory
            state.mounts[placement.app, default: [:]][placement.path] = directory
        }
        for placement in new {
            let directory =
                try directories[placement.directoryPrefix] ?? layout.nextDirectory(placement.directoryPrefix)
            directories[placement.directoryPrefix] = directory
            state.mounts[placement.app, default: [:]][placement.path] = directory
        }
        return state
    }

    /// Mounts that have a directory, with it, and those that have none yet.
    private static func partition(
        _ placements: [MountPlacement], by old: CurrentState?
    ) -> (known: [(MountPlacement, String)], new: [MountPlacement]) {
        var known: [(MountPlacement, String)] = []
        var new: [MountPlacement] = []
        for placement in placements {
            if let directory = old?.mounts[placement.app]?[placement.path] {
                known.append((placement, directory))
            } else {
                new.append(placement)
            }
        }
        return (known, new)
    }

    private func switchTo(_ new: CurrentState, from old: CurrentState?, _ layout: EnvironmentLayout) throws {
        let switcher = StateSwitch(environment: environment, layout: layout, house: house, context: context)
        if let old {
            let evidence = try switcher.perform(from: old, to: new, keepPrevious: false)
            context.log("Deployed commit \(short(commit)), " + evidence.summaryOfRequests)
        } else {
            try switcher.performFirst(new)
            context.log("Deployed commit \(short(commit)).")
        }
    }

    private func record() throws {
        var updated = try house.catalogue.environment(environment.id)
        updated.status = .active
        updated.updatedAt = house.time.now()
        try house.catalogue.update(updated)
        try house.supervisors.publishRoutes()
    }

    private func short(_ commit: String) -> String { String(commit.prefix(12)) }
}
