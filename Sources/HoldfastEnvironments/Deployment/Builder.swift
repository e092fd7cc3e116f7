import Foundation
import HoldfastModel

/// Makes a deployment of a commit: checkout, configuration, build hooks. Nothing that runs is touched.
package struct Builder {
    private let environment: Environment
    private let layout: EnvironmentLayout
    private let repository: GitRepository
    private let user: ProcessUser
    private let types: InstalledTypes
    private let time: any TimeSource
    /// How long one build hook may take.
    package var hookTimeout = Duration.seconds(900)
    /// Asked several times a second while a build hook runs; yes ends it.
    package var isCancelled: () -> Bool = { false }

    package init(
        environment: Environment, layout: EnvironmentLayout, repository: GitRepository, user: ProcessUser,
        types: InstalledTypes, time: any TimeSource
    ) {
        self.environment = environment
        self.layout = layout
        self.repository = repository
        self.user = user
        self.types = types
        self.time = time
    }

    /// Builds every app of a commit into a directory of its own, which is durable when this returns.
    ///
    /// - Parameters:
    ///   - commit: 40 hexadecimal digits.
    ///   - variables: of project and environment; those with the prefix `env:` become environment variables.
    ///   - log: gets one line at a time, without a newline.
    /// - Throws: `invalidInput` with the faults of the configuration or the last lines of a hook that failed,
    ///   `unsupported` for types that are not installed. Nothing is left behind then.
    package func build(
        commit: String, variables: [String: Secret], log: @escaping (String) -> Void
    ) throws -> BuiltDeployment {
        let configuration = try repository.configuration(at: commit)
        for warning in configuration.parsed.warnings { log("Warning: \(warning)") }
        let types = try configuration.parsed.resolveTypes(types)
        try layout.create()
        var record = DeploymentRecord(
            id: EnvironmentID.random().rawValue, commit: commit, createdAt: time.now(),
            configuration: configuration.text)
        record.variables = variables
        let identity = try EnvironmentIdentity.prepare(
            for: environment, in: layout.directory, repository: repository.path)
        var built = BuiltDeployment(
            record: record, apps: [:], configuration: configuration.parsed, types: types, identity: identity)
        do {
            for name in configuration.parsed.applications.keys.sorted() {
                guard let app = configuration.parsed.applications[name] else { continue }
                built.apps[name] = try layout.nextDirectory("apps/\(name)")
                try build(app, in: built, log: log)
            }
        } catch {
            layout.discardAside()
            throw error
        }
        return built
    }

    /// Ends what a build left running whose control plane was killed.
    package static func endLeftovers(of environment: EnvironmentID) {
        BuildProcesses(environment: environment).end()
    }

    /// `PATH` of an app's processes; also what a supervisor needs before it starts one.
    package static func path(for type: ResolvedType, types: InstalledTypes, layout: EnvironmentLayout) throws -> String
    {
        try types.path(for: type, links: "\(layout.directory)/types")
    }

    private func build(_ app: ApplicationConfiguration, in built: BuiltDeployment, log: @escaping (String) -> Void)
        throws
    {
        guard let relative = built.apps[app.name] else { return }
        let directory = try layout.absolute(relative)
        let submodules = try repository.checkOut(built.record.commit, folder: app.sourceRoot, to: directory)
        for path in submodules { log("Warning: the submodule '\(path)' is not fetched; its folder is empty") }
        try FileTree.give(directory, to: user)
        if let hook = app.hooks.build {
            log("Running the build hook of \(app.name)")
            try run(hook, app: app, directory: directory, built: built, log: log)
        }
        try MountPoints(app: app, directory: directory, user: user).prepare(log: log)
        try FileTree.sync(directory)
        try DurableFile.syncDirectory((directory as NSString).deletingLastPathComponent)
    }

    private func run(
        _ hook: String, app: ApplicationConfiguration, directory: String, built: BuiltDeployment,
        log: @escaping (String) -> Void
    ) throws {
        let cache = "\(layout.directory)/cache/\(app.name)"
        try EnvironmentLayout.makeDirectory("\(layout.directory)/cache", mode: user.needsChange ? 0o711 : 0o700)
        try EnvironmentLayout.makeDirectory(cache, mode: 0o700)
        try user.own(cache)
        let variables = RuntimeVariables(
            configuration: built.configuration, deployment: built.record, identity: built.identity, endpoints: [:])
        var path = InstalledTypes.systemPath
        if let type = built.types.applications[app.name] {
            path = try Self.path(for: type, types: types, layout: layout)
        }
        var specification = ProcessSpecification.shell(
            hook,
            environment: try variables.makeForBuild(app: app, directory: directory, cache: cache, path: path),
            directory: directory, user: user)
        var last: [String] = []
        let collect: (String) -> Void = { line in
            last.append(line)
            if last.count > 20 { last.removeFirst() }
            log("  " + line)
        }
        let processes = BuildProcesses(environment: environment.id)
        processes.end()
        processes.add(to: &specification)
        defer { processes.end() }
        var options = ProcessOptions(timeout: hookTimeout, outputLimit: 4096, mergesErrors: true, onLine: collect)
        options.isCancelled = isCancelled
        let outcome = try ProcessRunner(time: time).run(specification, options: options)
        guard !outcome.isSuccess else { return }
        guard !outcome.wasCancelled else {
            throw HoldfastError(
                .cancelled, "the build of '\(app.name)' was cancelled; what ran before goes on")
        }
        let why =
            outcome.timedOut ? "took longer than \(hookTimeout.components.seconds) s" : "failed (\(outcome.status))"
        let lines = last.isEmpty ? "it printed nothing" : "its last lines were:\n" + last.joined(separator: "\n")
        throw HoldfastError(
            outcome.timedOut ? .timedOut : .invalidInput, "the build hook of '\(app.name)' \(why); \(lines)",
            hint: "Correct hooks.build or what it calls, commit and push again; what ran before goes on")
    }
}

/// The places in a built app where its mounts appear at each start. Nothing of the build may lie there.
struct MountPoints {
    let app: ApplicationConfiguration
    /// Absolute path of the built app.
    let directory: String
    /// Who owns the built app. All changes are made as this user: the build may have put links anywhere.
    let user: ProcessUser

    /// Takes away what lies at the mounts' paths and makes the folders above them.
    ///
    /// - Throws: `invalidInput` if a mount would lie behind a link or below a file.
    func prepare(log: (String) -> Void) throws {
        for path in app.mounts.keys.sorted() {
            let components = path.split(separator: "/").map(String.init)
            var place = directory
            for component in components.dropLast() {
                place += "/\(component)"
                switch FileTree.kind(of: place) {
                case nil, .directory: continue
                case .link: throw refusal(path, "'\(place.dropFirst(directory.count + 1))' is a symbolic link")
                case .file, .other: throw refusal(path, "'\(place.dropFirst(directory.count + 1))' is not a folder")
                }
            }
            try clear(path, log: log)
            if place != directory { try FileTree.makeDirectory(place, as: user) }
        }
    }

    private func clear(_ path: String, log: (String) -> Void) throws {
        let place = "\(directory)/\(path)"
        switch FileTree.kind(of: place) {
        case nil: return
        case .link, .file, .other:
            throw refusal(path, "a file or link lies in its place")
        case .directory:
            let names = try FileManager.default.contentsOfDirectory(atPath: place).filter { $0 != ".gitkeep" }
            if !names.isEmpty {
                let list = names.sorted().prefix(5).joined(separator: ", ") + (names.count > 5 ? ", …" : "")
                log("Warning: '\(path)' of \(app.name) is a mount; what the build has there is left out: \(list)")
            }
            try FileTree.remove(place, as: user)
        }
    }

    private func refusal(_ path: String, _ why: String) -> HoldfastError {
        HoldfastError(
            .invalidInput, "the mount '\(path)' of '\(app.name)' cannot be made: \(why)",
            hint: "Remove it from the repository and from what the build hook makes, or mount at another path")
    }
}
