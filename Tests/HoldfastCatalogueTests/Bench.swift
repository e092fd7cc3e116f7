import Foundation
import HoldfastCatalogue
import HoldfastModel
import Synchronization
import Testing

/// A clock that stands still until it is moved.
final class ManualTime: TimeSource {
    private let seconds = Mutex(1_700_000_000.0)

    func now() -> Date { Date(timeIntervalSince1970: seconds.withLock { $0 }) }
    func monotonicNanoseconds() -> UInt64 { UInt64(seconds.withLock { $0 } * 1e9) }
    func advance(_ by: Double) { seconds.withLock { $0 += by } }
}

/// A catalogue in a folder of its own, with one project and one active production environment.
final class Bench {
    let folder: String
    let time = ManualTime()
    let reports = Mutex<[HoldfastError]>([])
    let project: Project
    var main: Environment
    private(set) var catalogue: Catalogue

    var path: String { folder + "/catalogue.sqlite" }

    init() throws {
        folder = NSTemporaryDirectory() + "holdfast-catalogue-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        catalogue = try Catalogue(path: folder + "/catalogue.sqlite", time: time)
        project = Project(
            id: .random(), title: "P", defaultBranch: "main", region: "local", timeZone: "UTC", createdAt: time.now())
        main = Environment(
            id: .random(), project: project.id, name: "main", type: .production, status: .active, createdAt: time.now())
        try catalogue.createProject(project)
        try catalogue.createEnvironment(main)
    }

    deinit {
        try? catalogue.close()
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// As after a restart of the control plane.
    func reopen() throws {
        try catalogue.close()
        catalogue = try Catalogue(path: path, time: time)
    }

    func addEnvironment(_ name: String, _ type: EnvironmentType = .development) throws -> Environment {
        let environment = Environment(
            id: .random(), project: project.id, name: name, type: type, status: .active, createdAt: time.now())
        try catalogue.createEnvironment(environment)
        return environment
    }

    func addUser(_ name: String) throws -> User {
        let user = User(
            id: .random(), username: name, email: "\(name)@example.org", displayName: name, isOperator: false,
            createdAt: time.now())
        try catalogue.createUser(user)
        return user
    }

    /// Queues an activity; the clock moves so that times differ.
    @discardableResult
    func queue(_ type: ActivityType, on environment: Environment) throws -> Activity {
        time.advance(1)
        let activity = Activity(
            id: .random(), project: project.id, environment: environment.id, type: type, user: nil, text: "did",
            createdAt: time.now())
        try catalogue.createActivity(activity)
        return activity
    }

    func claim(_ queue: ActivityQueueName) throws -> ActivityID? {
        try catalogue.claimActivity(in: queue, at: time.now())?.id
    }

    func finish(_ id: ActivityID) throws {
        try catalogue.finishActivity(id, result: .success, failure: nil, at: time.now())
    }

    func backup(
        of environment: Environment, safe: Bool = false, hold: HoldEvidence? = nil, isComplete: Bool = true
    ) -> Backup {
        let digits = UUID().uuidString.replacingOccurrences(of: "-", with: "").lowercased()
        return Backup(
            id: .random(), environment: environment, safe: safe, automated: false,
            commit: String(repeating: "a", count: 40), deployment: "d", snapshot: digits + digits, sizes: (10, 5),
            sites: [SitePlacement(site: "one", isComplete: isComplete)], evidence: (hold, nil), createdAt: time.now(),
            updatedAt: time.now())
    }
}

/// The code of the error that a closure throws; nil if it throws none of ours.
func code(_ body: () throws -> Void) -> HoldfastError.Code? {
    do {
        try body()
        return nil
    } catch {
        return (error as? HoldfastError)?.code
    }
}
