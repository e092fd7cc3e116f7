import Foundation
import HoldfastCatalogue
import HoldfastModel
import HoldfastNotifications
import HoldfastRetention
import HoldfastTestSupport
import Logging
import Synchronization
import Testing

extension Catalogue: RetentionSource, NoticeCatalogue {}

/// A catalogue with one project, its production environment, and whoever is told of it.
final class Bench: Sendable {
    let folder: ScratchFolder
    let time: ManualTime
    let project: Project
    let main: Environment
    let clockError = Mutex<Int?>(nil)
    private let opened: Mutex<Catalogue>
    private let current: Mutex<Notifier?> = Mutex(nil)

    init(_ channels: [NotificationChannel] = []) throws {
        time = ManualTime("2026-03-01T12:00:00Z")
        folder = try ScratchFolder()
        opened = Mutex(try Catalogue(path: folder("catalogue.sqlite"), time: time))
        project = Project(
            id: .random(), title: "Ledger", defaultBranch: "main", region: "r", timeZone: "UTC", createdAt: time.now())
        main = Environment(
            id: .random(), project: project.id, name: "main", type: .production, status: .active,
            createdAt: time.now())
        try catalogue.createProject(project)
        try catalogue.createEnvironment(main)
        try restart(channels)
    }

    deinit { try? catalogue.close() }

    var catalogue: Catalogue { opened.withLock { $0 } }

    var notifier: Notifier {
        get throws { try #require(current.withLock { $0 }) }
    }

    /// A new process, on the same file.
    func restart(_ channels: [NotificationChannel]) throws {
        try catalogue.close()
        let catalogue = try Catalogue(path: folder("catalogue.sqlite"), time: time)
        opened.withLock { $0 = catalogue }
        let notifier = Notifier(
            catalogue: catalogue, channels: channels, time: time,
            clockError: { [weak self] in self?.clockError.withLock { $0 } },
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try notifier.begin()
        current.withLock { $0 = notifier }
    }

    /// An activity of `main` that ends at once.
    func end(_ type: ActivityType = .backup, _ failure: String?) throws {
        let activity = Activity(
            id: .random(), project: project.id, environment: type == .prune ? nil : main.id, type: type, user: nil,
            text: "x", createdAt: time.now())
        try catalogue.createActivity(activity)
        let claimed = try catalogue.claimActivity(in: type.queue, at: time.now())
        #expect(claimed?.id == activity.id)
        try catalogue.finishActivity(
            activity.id, result: failure == nil ? .success : .failure, failure: failure, at: time.now())
    }

    /// A backup that claims what is due.
    func backUp(complete: Bool = true) throws {
        let due = try catalogue.retention(of: main, at: time.now()).state(at: time.now()).due
        var backup = Backup(
            id: .random(), environment: main, safe: false, automated: true, commit: String(repeating: "c", count: 40),
            deployment: "d",
            snapshot: (0..<64).map { _ in String(Int.random(in: 0..<16), radix: 16) }.joined(), sizes: (1, 1),
            sites: [SitePlacement(site: "a", isComplete: true), SitePlacement(site: "b", isComplete: complete)],
            evidence: (nil, nil), createdAt: time.now(), updatedAt: time.now())
        backup.keeping.claims = due.map { SlotClaim(interval: $0.interval.description, slot: $0.number) }
        try catalogue.insertBackup(backup)
    }

    /// What waits for a channel, as `backup.failed raised`, the oldest first; it is taken away.
    func take(_ channel: String = "a") throws -> [String] {
        var taken: [String] = []
        while let next = try catalogue.nextNotices().first(where: { $0.channel == channel }) {
            taken.append("\(next.notice.kind.rawValue) \(next.notice.change.rawValue)")
            try catalogue.removeNotice(next.sequence)
        }
        return taken
    }
}
