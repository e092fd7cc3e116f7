import HoldfastModel

/// How Holdfast makes, runs, backs up and restores one kind of service.
///
/// An adapter is a value without state of its own: everything it knows about one service lies in that service's
/// directory, so that a control plane which was just started can go on where another one ended. All calls block; they
/// are made from threads, never from Swift's cooperative pool. Only `HoldfastError` is thrown.
package protocol ServiceAdapter: Sendable {
    /// Type names of the configuration that this adapter serves, such as `postgresql`.
    static var typeNames: [String] { get }

    init()

    /// Makes the service's data if there is none, and writes its configuration; harmless when called again.
    ///
    /// Called before each start, with the service stopped.
    ///
    /// - Throws: `unsupported` if the version is not installed or the data was written by another one, `invalidInput`
    ///   for a configuration that is wrong, `damaged` for a data directory that is neither empty nor whole.
    func prepare(_ instance: ServiceInstance) throws

    /// What has to be run, in the foreground, to have the service.
    func command(_ instance: ServiceInstance) throws -> ProcessSpecification

    /// Whether the service takes connections and can be written to.
    ///
    /// - Returns: false while it is down, starting or recovering.
    func isReady(_ instance: ServiceInstance) throws -> Bool

    /// Makes roles, databases, extensions and passwords what the configuration wants; harmless when called again.
    ///
    /// - Returns: how apps reach the service.
    func afterStart(_ instance: ServiceInstance) throws -> ServiceEndpoint

    /// The signal that stops the service in an orderly and quick way.
    var stopSignal: Int32 { get }

    /// Whether the signal goes to all processes of the service, because its first one does not pass it on.
    var signalsAll: Bool { get }

    /// The full version of the running server, such as `15.18`.
    func serverVersion(_ instance: ServiceInstance) throws -> String

    /// Looks, before a backup, for what would make it fail or would be missing from it.
    ///
    /// - Throws: what makes a backup impossible, with the reason.
    func preflight(_ instance: ServiceInstance) throws -> ServicePreflight

    /// How a backup would store the service, without asking it.
    func forecast(_ instance: ServiceInstance) throws -> ServiceForecast

    /// Begins a backup: from now on the session's data directory may be copied while the service runs.
    ///
    /// - Parameters:
    ///   - label: printable text of at most 200 bytes by which people recognise the backup in the service.
    /// - Throws: `locked` while another backup of this service runs.
    func beginBackup(_ instance: ServiceInstance, label: String) throws -> any ServiceBackupSession

    /// Makes restored files, which lie in the instance's data directory, ready to be started.
    ///
    /// Harmless when called again before the first start.
    ///
    /// - Throws: `unsupported` if the backup was made by a version that this instance cannot read, `damaged` if
    ///   something that every backup holds is missing.
    func prepareRestore(_ instance: ServiceInstance, manifest: ServiceManifest) throws

    /// Waits until a restored service has come up, proves that it stands exactly at the mark, and checks it.
    ///
    /// - Returns: lines for the activity's log.
    /// - Throws: `damaged` if the mark was not reached or a check fails.
    func verify(_ instance: ServiceInstance) throws -> [String]
}

extension ServiceAdapter {
    package var signalsAll: Bool { false }
}

/// How a backup would store a service.
package struct ServiceForecast: Sendable, Hashable {
    /// As `ServiceBackupSession.method` will be.
    package let method: String
    /// What is done with the service before, in and after the hold, and what it costs the hold, for people.
    package let mark: String
    /// Whether changed files of its data directory are set aside in the hold.
    package let setsFilesAside: Bool

    package init(method: String, mark: String, setsFilesAside: Bool = false) {
        self.method = method
        self.mark = mark
        self.setsFilesAside = setsFilesAside
    }

    /// Of a service that keeps nothing.
    static let empty = ServiceForecast(method: "empty", mark: "nothing of it is stored, and its mark costs nothing")
}

/// What a look at a service before its backup has found.
package struct ServicePreflight: Sendable, Hashable {
    /// Transactions that are open now: what they write is in the backup only if they commit before the mark.
    package var openTransactions: [OpenTransaction]
    /// Other remarks for the activity's log.
    package var notices: [String]

    package init(openTransactions: [OpenTransaction] = [], notices: [String] = []) {
        self.openTransactions = openTransactions
        self.notices = notices
    }
}

/// A transaction that was open for longer than usual when it was looked for.
package struct OpenTransaction: Sendable, Hashable, CustomStringConvertible {
    package let processID: Int32
    package let database: String
    package let user: String
    /// What the client calls itself.
    package let application: String
    /// As the server names it, such as `idle in transaction`; `prepared` for a prepared one.
    package let state: String
    package let ageSeconds: Double

    package init(
        processID: Int32, database: String, user: String, application: String, state: String, ageSeconds: Double
    ) {
        self.processID = processID
        self.database = database
        self.user = user
        self.application = application
        self.state = state
        self.ageSeconds = ageSeconds
    }

    package var description: String {
        let name = application.isEmpty ? "" : ", \(application)"
        return "transaction of \(user) in \(database) (process \(processID)\(name)), "
            + "open for \(Int(ageSeconds)) s, \(state)"
    }
}
