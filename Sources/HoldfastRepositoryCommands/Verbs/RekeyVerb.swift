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
            the old repository elsewhere stay readable with the old key.
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
        let password = try new.read(context.surroundings)
        // The folder itself takes part in the exchange, not a link that leads to it.
        let folder = try Self.resolved(context.path)
        let place = folder + ".rekey"
        guard !FileManager.default.fileExists(atPath: place) else {
            throw HoldfastError(
                .conflict, "there is something at \(place) already, perhaps of an earlier rekey",
                hint: "Look at it, and move it away")
        }
        let made = try context.repository.whileAlone { lock -> (id: String, snapshots: Int) in
            let made: (id: String, snapshots: Int)
            do {
                made = try copy(context, to: place, password, lock)
            } catch {
                // Nothing has been changed yet.
                try? FileManager.default.removeItem(atPath: place)
                throw error
            }
            try FolderSwap.exchange(folder, place)
            // The lock went with the folder.
            for entry in try FileBlobStore(root: place).list(.lock) {
                try FileBlobStore(root: place).delete(entry.name)
            }
            return made
        }
        if removeOld { try FileManager.default.removeItem(atPath: place) }
        if options.json {
            return try context.write(
                json: Summary(id: made.id, old_repository: removeOld ? nil : place, snapshots: made.snapshots))
        }
        context.say("the repository in \(context.path) is \(made.id.prefix(10)) now, with \(made.snapshots) snapshots")
        context.say(removeOld ? "the old one is removed" : "the old one is in \(place): remove it when all is well")
    }

    private static func resolved(_ path: String) throws -> String {
        guard let resolved = realpath(path, nil) else {
            throw HoldfastError(.system, "cannot find out where \(path) is: \(String(cString: strerror(errno)))")
        }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// Fills and checks the new repository; the old one is as it was afterwards, and held.
    private func copy(
        _ context: VerbContext, to place: String, _ password: Secret, _ lock: LockKeeper
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
        try lock.requireHeld()
        return (target.id, records.count)
    }
}
