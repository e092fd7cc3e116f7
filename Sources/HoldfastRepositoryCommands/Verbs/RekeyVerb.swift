import ArgumentParser
import Foundation
import Glibc
import HoldfastBlobStore
import HoldfastCommands
import HoldfastModel
import HoldfastRepository

/// `repository rekey`
struct RekeyVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rekey", abstract: "Seal everything anew under a new key of the repository.",
        discussion: """
            A key that leaked cannot be revoked in this format: removing a password leaves the key as it was. So all \
            snapshots are copied into a new repository beside this one, with a new key and a new password; it is \
            checked with all its data, and then takes the folder's place. Needs as much free space again. Copies of \
            the old repository elsewhere stay readable with the old key. The site of a project is refused: its server \
            could not open it any more.
            """)

    @OptionGroup var options: RepositoryOptions
    @OptionGroup var new: NewPasswordOptions

    @Flag(help: "Remove the old repository when the new one is in its place.")
    var removeOld = false

    private struct Summary: Encodable {
        var message_type = "summary"
        let id: String
        let old_repository: String?
        let snapshots: Int
    }

    func run() throws {
        let context = try options.open()
        try context.requireNoProject()
        let password = try new.read(context.surroundings)
        // The folder itself takes part in the exchange, not a link that leads to it.
        let folder = try Self.resolved(context.path)
        let place = RekeyPlaces.new(folder)
        guard !FileManager.default.fileExists(atPath: place) else {
            throw HoldfastError(
                .conflict, "there is something at \(place) already, perhaps of an earlier rekey",
                hint: "Look at it, and move it away")
        }
        let (made, old) = try context.repository.whileAlone { lock -> ((id: String, snapshots: Int), String) in
            let made: (id: String, snapshots: Int)
            do {
                made = try copy(context, to: place, password, lock) { try Self.giveOwner(of: folder, to: place) }
            } catch {
                // Nothing has been changed yet.
                try? FileManager.default.removeItem(atPath: place)
                throw error
            }
            let old = try FolderSwap().exchange(folder, place)
            // The lock went with the folder.
            for entry in try FileBlobStore(root: old).list(.lock) {
                try FileBlobStore(root: old).delete(entry.name)
            }
            return (made, old)
        }
        if removeOld { try FileManager.default.removeItem(atPath: old) }
        if options.json {
            return try context.write(
                json: Summary(id: made.id, old_repository: removeOld ? nil : old, snapshots: made.snapshots))
        }
        context.say("the repository in \(context.path) is \(made.id.prefix(10)) now, with \(made.snapshots) snapshots")
        context.say(removeOld ? "the old one is removed" : "the old one is in \(old): remove it when all is well")
    }

    private static func resolved(_ path: String) throws -> String {
        guard let resolved = realpath(path, nil) else {
            throw HoldfastError(.system, "cannot find out where \(path) is: \(String(cString: strerror(errno)))")
        }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// Gives the new folder to whom the old one belongs: else a rekey by root would end the backups of another user.
    private static func giveOwner(of folder: String, to place: String) throws {
        var (old, new) = (stat(), stat())
        guard stat(folder, &old) == 0, stat(place, &new) == 0, chmod(place, old.st_mode & 0o7777) == 0 else {
            throw HoldfastError(.system, "cannot give \(place) its mode: \(String(cString: strerror(errno)))")
        }
        if (old.st_uid, old.st_gid) == (new.st_uid, new.st_gid) { return }
        for name in [""] + (FileManager.default.subpaths(atPath: place) ?? []).map({ "/" + $0 }) {
            guard lchown(place + name, old.st_uid, old.st_gid) == 0 else {
                throw HoldfastError(
                    .system, "cannot give \(place) to user \(old.st_uid): \(String(cString: strerror(errno)))",
                    hint: "Run it as the owner of \(folder), or as root")
            }
        }
    }

    /// Fills and checks the new repository; the old one is as it was afterwards, and held.
    ///
    /// - Parameter finish: called when nothing more is written to the new one.
    private func copy(
        _ context: VerbContext, to place: String, _ password: Secret, _ lock: LockKeeper, finish: () throws -> Void
    ) throws -> (id: String, snapshots: Int) {
        let time = context.surroundings.time
        let store = VerbStore(try FileBlobStore.create(root: place))
        OpenStores.add(store)
        let target = try Repository.create(store: store, password: password, scrypt: .calibrated(time), time: time)
        let meter = ProgressMeter()
        let records = try context.repository.records()
        let copied = try context.showing("copying", meter) {
            // The exclusive lock is held already; another one of ours would be in its way.
            try context.repository.copy(of: records, into: target, meter: meter, isLocked: true)
        }
        let reading = ProgressMeter()
        reading.expect(bytes: copied.bytesWritten)
        store.count(reads: reading)
        let report = try context.showing("checking", reading) { try target.check(readData: .all) }
        guard report.isIntact, report.snapshots == records.count else {
            throw HoldfastError(
                .damaged, "the new repository is not whole: \(report.problems.first?.description ?? "")")
        }
        // This may have taken hours: somebody may have taken the lock for stale, and worked here.
        guard try Set(context.store.list(.snapshot).map(\.name.name)) == Set(records.map { "\($0.id)" }) else {
            throw HoldfastError(
                .conflict, "snapshots came or went while the repository was copied", hint: "Try again")
        }
        try finish()
        try lock.requireHeld()
        return (target.id, records.count)
    }
}

/// Where a rekey puts what.
enum RekeyPlaces {
    /// The new repository until it takes the folder's name, and the old one then.
    static func new(_ folder: String) -> String { folder + ".rekey" }

    /// What to say if nothing has the folder's name because a rekey stopped in between; nil if none did.
    static func interruption(at path: String) -> HoldfastError? {
        var folder = path
        if let target = try? FileManager.default.destinationOfSymbolicLink(atPath: path) {
            let parent = URL(fileURLWithPath: path).deletingLastPathComponent()
            folder = URL(fileURLWithPath: target, relativeTo: parent).path
        }
        let old = FolderSwap.aside(folder)
        guard !FileManager.default.fileExists(atPath: folder + "/config"),
            FileManager.default.fileExists(atPath: old + "/config")
        else { return nil }
        return HoldfastError(
            .notFound,
            "a rekey of \(folder) was interrupted: the old repository is in \(old), the new one in \(new(folder))",
            hint: "Rename \(new(folder)) to \(folder), or \(old) to keep the old one")
    }
}
