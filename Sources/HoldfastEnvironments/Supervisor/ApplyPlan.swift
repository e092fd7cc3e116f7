import HoldfastModel

/// What has to be stopped, kept and started so that a state runs.
package struct ApplyPlan: Equatable {
    /// What runs now, as far as it matters here.
    package struct Running: Equatable {
        package var record: ProcessRecord
        package var hasEnded: Bool
        /// It ends again and again, or does not begin: that it is the right one does not help.
        package var isFailing: Bool

        package init(record: ProcessRecord, hasEnded: Bool = false, isFailing: Bool = false) {
            self.record = record
            self.hasEnded = hasEnded
            self.isFailing = isFailing
        }
    }

    /// Runs, and is what is wanted.
    package private(set) var keep: [ProcessRecord] = []
    package private(set) var start: [ProcessRecord] = []
    /// Keys, in the order in which they are to be stopped: crons, workers, apps, services.
    package private(set) var stop: [String] = []
    /// Key of a stopped app's process -> app.
    private var stoppedApps: [String: String] = [:]

    /// - Parameter keepsAside: whether services that were started aside and are not wanted stay.
    package init(desired: [ProcessRecord], running: [Running], keepsAside: Bool) {
        let wanted = Dictionary(desired.map { ($0.key, $0) }) { first, _ in first }
        var kept: Set<String> = []
        var restartedApps: Set<String> = []
        for process in running where !process.hasEnded {
            let record = process.record
            if let want = wanted[record.key], want.fingerprint == record.fingerprint, !process.isFailing {
                kept.insert(record.key)
                keep.append(want)
            } else if record.kind == .cron || (record.isAside && keepsAside) {
                continue
            } else {
                stop.append(record.key)
                if record.kind == .web, let app = record.app {
                    restartedApps.insert(app)
                    stoppedApps[record.key] = app
                }
            }
        }
        start = desired.filter { !kept.contains($0.key) }
        let starting = Set(start.compactMap(\.app))
        let apps = Set(desired.compactMap(\.app))
        // A cron of an app that is replaced or gone must not go on with its old code and data.
        for process in running where !process.hasEnded && process.record.kind == .cron {
            guard let app = process.record.app else { continue }
            if restartedApps.contains(app) || starting.contains(app) || !apps.contains(app) {
                stop.append(process.record.key)
            }
        }
        let kinds = Dictionary(running.map { ($0.record.key, $0.record.kind) }) { first, _ in first }
        stop.sort { (Self.rank(kinds[$0]), $0) < (Self.rank(kinds[$1]), $1) }
        start.sort { (-Self.rank($0.kind), $0.key) < (-Self.rank($1.kind), $1.key) }
    }

    /// Keys of old apps that another process has taken the place of already: nobody has to wait for their end.
    package var replaced: Set<String> {
        let apps = Set(keep.filter { $0.kind == .web }.compactMap(\.app))
        return Set(stop.filter { key in stoppedApps[key].map(apps.contains) ?? false })
    }

    private static func rank(_ kind: SupervisedProcess.Kind?) -> Int {
        switch kind {
        case .cron: 0
        case .worker: 1
        case .web: 2
        case .service, nil: 3
        }
    }
}

/// Which processes a state consists of.
struct DesiredProcesses {
    let current: CurrentState
    let configuration: EnvironmentConfiguration
    /// The port of a key such as `app:ledger` or `services/db/2`.
    let port: (String) throws -> Int
    /// What runs: an app that runs as it is wanted, maybe beside the live one, keeps its port and its key.
    var running: [ProcessRecord] = []

    /// - Throws: `damaged` if the state lacks a service or an app of its configuration.
    func records() throws -> [ProcessRecord] {
        try services()
            + (try configuration.applications.values.sorted { $0.name < $1.name }.flatMap { try records(of: $0) })
    }

    private func services() throws -> [ProcessRecord] {
        try configuration.runningServices.values.sorted { $0.name < $1.name }.map { service in
            guard let record = current.services[service.name] else {
                throw HoldfastError(
                    .damaged, "the current state has no data for service '\(service.name)'",
                    hint: "Redeploy the environment")
            }
            return try Self.service(service.name, record, service.configuration, port: port(record.directory))
        }
    }

    static func service(
        _ name: String, _ record: ServiceRecord, _ configuration: ConfigurationValue, port: Int
    ) throws -> ProcessRecord {
        var result = ProcessRecord(
            key: "service:\(record.directory)", kind: .service, name: name,
            fingerprint: "\(record.type) \(port) \(try JSONText.encode(configuration))", port: port)
        result.service = record
        result.configuration = configuration
        return result
    }

    private func records(of app: ApplicationConfiguration) throws -> [ProcessRecord] {
        guard let directory = current.apps[app.name] else {
            throw HoldfastError(
                .damaged, "the current state has no code for app '\(app.name)'", hint: "Redeploy the environment")
        }
        let common = try fingerprint(of: app, directory)
        var records: [ProcessRecord] = []
        if app.web?.start != nil {
            let known = running.first { record in
                record.kind == .web && record.app == app.name
                    && record.port.map { "\(common) \($0)" } == record.fingerprint
            }
            let port = try known?.port ?? port("app:\(app.name)")
            records.append(
                ProcessRecord(
                    key: known?.key ?? "web:\(app.name)", kind: .web, app: app.name, name: app.name,
                    fingerprint: "\(common) \(port)", port: port))
        }
        for worker in app.workers.values.sorted(by: { $0.name < $1.name }) {
            records.append(
                ProcessRecord(
                    key: "worker:\(app.name).\(worker.name)", kind: .worker, app: app.name, name: worker.name,
                    fingerprint: common))
        }
        return records
    }

    /// Commands and variables belong to the deployment; the rest is where things lie and how they are reached.
    private func fingerprint(of app: ApplicationConfiguration, _ directory: String) throws -> String {
        let mounts = (current.mounts[app.name] ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        let services = try app.relationships.values.compactMap { current.services[$0.service] }
            .map { "\($0.directory):\(try port($0.directory))" }.sorted()
        return ([current.deployment.id, current.deployment.commit, directory] + mounts + services)
            .joined(separator: " ")
    }
}
