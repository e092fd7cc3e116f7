import Foundation
import HoldfastBackup
import HoldfastBlobStore
import HoldfastCatalogue
import HoldfastEnvironments
import HoldfastModel
import HoldfastRepository

/// Makes a state directory anew from a recovery kit and what the sites hold.
///
/// Projects and backups come from the project's record on its sites; a backup that the record does not know yet comes
/// from the manifest in its snapshot, and one whose snapshot is gone is left out. Environments come back inactive, with
/// the code of their newest backup: activate, then restore. Tokens and users are new.
struct CatalogueRebuild {
    /// What came back of a project.
    struct Outcome {
        var project: Project
        var environments = 0
        var backups = 0
        /// In the record, with no snapshot on any site.
        var missing: [BackupID] = []
        var problems: [String] = []
    }

    let home: StateDirectory
    let settings: Settings
    let secrets: RecoveryKit.Secrets
    /// Projects that stay out of the new catalogue; their folders on the sites are not touched.
    var without: Set<ProjectID> = []
    let time: any TimeSource
    let log: (String) -> Void

    /// - Throws: `conflict` if there is a catalogue; `unavailable` with the reasons of all projects that cannot be
    ///   rebuilt. Whatever goes wrong, no catalogue is left behind then.
    func run() throws -> [Outcome] {
        try home.create()
        let lock = try InstallationLock(home)
        defer { withExtendedLifetime(lock) {} }
        guard !FileManager.default.fileExists(atPath: home.catalogue) else {
            throw HoldfastError(
                .conflict, "there is a catalogue in \(home.path) already", hint: "Use an empty state directory")
        }
        let masterKey = try InstallationKey(text: secrets.masterKey)
        // The catalogue comes last, under its name in one step: without it, everything can be done again.
        let unfinished = "\(home.catalogue).rebuild"
        removeDatabase(unfinished)
        var outcomes: [Outcome] = []
        do {
            let catalogue = try Catalogue(path: unfinished, time: time)
            let repositories = ProjectRepositories(
                sites: settings.sites, quorum: settings.quorum, masterKey: masterKey, catalogue: catalogue)
            var failures: [String] = []
            for project in try projectsOnSites() where !without.contains(project) {
                do { outcomes.append(try rebuild(project, catalogue, repositories, masterKey)) } catch {
                    failures.append("project \(project): \(error)")
                }
            }
            guard failures.isEmpty else {
                throw HoldfastError(
                    .unavailable, "cannot rebuild everything; \(failures.joined(separator: "; "))",
                    hint: "Put that right, or leave a project out with --without ID")
            }
            try settings.write(home)
            try home.writePrivate(secrets.masterKey.reveal() + "\n", to: home.masterKey)
            if let made = try catalogue.bootstrap() {
                try home.writePrivate(made.token.reveal() + "\n", to: home.token)
            }
            try catalogue.closeIntoOneFile()
            guard rename(unfinished, home.catalogue) == 0 else {
                throw HoldfastError(.system, "cannot make \(home.catalogue) (errno \(errno))")
            }
        } catch {
            removeDatabase(unfinished)
            throw error
        }
        return outcomes
    }

    private func removeDatabase(_ path: String) {
        for suffix in ["", "-wal", "-shm"] { unlink(path + suffix) }
    }

    /// Ids of all projects that any site has a folder of.
    private func projectsOnSites() throws -> [ProjectID] {
        var found: Set<ProjectID> = []
        var reached = 0
        for site in settings.sites {
            guard let names = try? FileManager.default.contentsOfDirectory(atPath: "\(site.path)/projects") else {
                log("Site \(site.name) has no folder \(site.path)/projects")
                continue
            }
            reached += 1
            found.formUnion(names.compactMap { ProjectID($0) })
        }
        guard reached > 0 else {
            throw HoldfastError(
                .unavailable, "none of the \(settings.sites.count) sites can be reached",
                hint: "Say where they are now with --site NAME=PATH")
        }
        return found.sorted()
    }

    private func rebuild(
        _ id: ProjectID, _ catalogue: Catalogue, _ repositories: ProjectRepositories, _ masterKey: InstallationKey
    ) throws -> Outcome {
        let sites = try repositories.sites(of: id)
        let entry = try ProjectJournal(store: sites.store, masterKey: masterKey).read()
        let password: Secret
        if let sealed = entry?.sealedPassword {
            password = try masterKey.open(sealed)
        } else if let known = secrets.repositoryPasswords[id.rawValue] {
            password = known
        } else {
            throw HoldfastError(
                .notFound, "neither the kit nor a site has the password of project \(id)",
                hint: "Move its folder away from the sites, or use a newer kit")
        }
        let repository = try Repository.open(store: sites.store, password: password)
        let now = time.now()
        var project = Project(
            id: id, title: id.rawValue, defaultBranch: "main", region: settings.region, timeZone: "UTC", createdAt: now)
        if let known = entry?.facts.project { project = known }
        var state = RebuildState(project: project, facts: entry?.facts)
        for found in try repository.snapshots() { try state.add(found, in: repository, sites.report(), at: now) }
        state.settle()
        var outcome = Outcome(project: project, problems: state.problems)
        outcome.missing = state.missing
        outcome.environments = state.environments.count
        outcome.backups = state.backups.count
        try restoreCode(&state, repository, &outcome)
        try catalogue.rebuild(
            RebuiltProject(
                project: project, environments: state.environments, backups: state.backups,
                sealedPassword: try entry?.sealedPassword ?? masterKey.seal(password)))
        return outcome
    }

    /// A bare Git repository with one branch for each environment: the commit of its newest backup.
    private func restoreCode(_ state: inout RebuildState, _ repository: Repository, _ outcome: inout Outcome) throws {
        let project = state.project
        let path = home.gitDirectory(project.id)
        try? FileManager.default.removeItem(atPath: path)
        try FileManager.default.createDirectory(
            atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        let git = try GitRepository.create(path: path, defaultBranch: project.defaultBranch)
        try PushHooks(home: home).install(in: git, project: project.id)
        for index in state.environments.indices {
            let environment = state.environments[index]
            state.environments[index].headCommit = nil
            let newest = state.backups.last { $0.environment == environment.id && $0.status == .created }
            guard let newest, let snapshot = SnapshotID(newest.snapshot) else { continue }
            do {
                try takeIn(newest.commit, as: environment.name, from: (repository, snapshot), git)
                state.environments[index].headCommit = newest.commit
            } catch let error as HoldfastError {
                outcome.problems.append("the code of environment \(environment.name) cannot be taken in: \(error)")
            }
        }
    }

    private func takeIn(
        _ commit: String, as branch: String, from source: (repository: Repository, snapshot: SnapshotID),
        _ git: GitRepository
    ) throws {
        let folder = "\(home.path)/projects/bundle.\(ProcessInfo.processInfo.processIdentifier)"
        try? FileManager.default.removeItem(atPath: folder)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let bytes = try source.repository.file(
            snapshot: source.snapshot, path: "/code/repository.bundle", limit: 4 << 30)
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        try Data(bytes).write(to: URL(fileURLWithPath: "\(folder)/code.bundle"))
        try git.fetch(bundle: "\(folder)/code.bundle", commit: commit)
        try git.setBranch(branch, to: commit)
    }
}

/// What is put together of a project: the record's facts, corrected by the snapshots that are there.
struct RebuildState {
    let project: Project
    var environments: [Environment]
    private(set) var backups: [Backup] = []
    private(set) var missing: [BackupID] = []
    private(set) var problems: [String] = []
    private let known: [String: Backup]
    private let facts: ProjectFacts

    init(project: Project, facts: ProjectFacts?) {
        self.project = project
        self.facts = facts ?? ProjectFacts(project: project, environments: [], backups: [])
        known = Dictionary(self.facts.backups.map { ($0.snapshot, $0) }) { first, _ in first }
        environments = self.facts.environments
    }

    /// Adds the backup that a snapshot is.
    mutating func add(
        _ entry: SnapshotEntry, in repository: Repository, _ sites: [SitePlacement], at now: Date
    ) throws {
        if let backup = known[entry.id.description] { return backups.append(backup) }
        guard entry.snapshot.info.tags.contains(where: { $0.hasPrefix("backup=") }) else { return }
        do {
            let decoder = JSONDecoder()
            decoder.dateDecodingStrategy = .iso8601
            let bytes = try repository.file(snapshot: entry.id, path: "/manifest.json")
            let manifest = try decoder.decode(BackupManifest.self, from: Data(bytes))
            let environment = environment(of: manifest, at: now)
            // The sizes are not in the manifest.
            var backup = Backup(
                id: manifest.backup, environment: environment, safe: manifest.safe, automated: manifest.automated,
                commit: manifest.deployment.commit, deployment: manifest.deployment.id,
                snapshot: entry.id.description, sizes: (0, 0), sites: sites,
                evidence: (manifest.hold, manifest.skew), createdAt: manifest.createdAt, updatedAt: now)
            backup.keeping.claims = manifest.claims ?? []
            // The policy that kept it may not be known any more, so none deletes it.
            backup.keeping.isProtected = manifest.automated
            backups.append(backup)
        } catch {
            problems.append("snapshot \(entry.id) has no manifest that can be read: \(error)")
        }
    }

    /// The environment that a manifest names; made up if the record does not know it.
    private mutating func environment(of manifest: BackupManifest, at now: Date) -> Environment {
        if let known = environments.first(where: { $0.id == manifest.environment }) { return known }
        var environment = Environment(
            id: manifest.environment, project: project.id, name: manifest.environmentName,
            type: manifest.environmentType, status: .inactive, createdAt: manifest.createdAt)
        let isTaken = environments.contains {
            $0.name == environment.name || $0.type == .production && environment.type == .production
        }
        // One that was deleted, and made again under the same name: its backups are listed by the project.
        if isTaken { return environment }
        environment.parent = environment.name == project.defaultBranch ? nil : project.defaultBranch
        environment.updatedAt = now
        environments.append(environment)
        return environment
    }

    /// Nothing runs on this machine yet, what has no snapshot is not listed, and the order is that of the record.
    mutating func settle() {
        backups = facts.inOrder(backups)
        for index in environments.indices { environments[index].status = .inactive }
        let present = Set(backups.map(\.snapshot))
        missing = facts.backups.filter { !present.contains($0.snapshot) && $0.status == .created }.map(\.id)
    }
}
