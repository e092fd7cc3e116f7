import CHoldfastFiles
import Foundation
import HoldfastModel
import Synchronization

/// What a service does besides standing still, so that the copy of its files is worth more than one after a crash.
protocol BackupFence: AnyObject, Sendable {
    /// Brings what is committed into the files and keeps the rest out. Called in the hold, before the freeze.
    ///
    /// - Parameter end: nanoseconds of the monotonic clock; the service lets everything go on by itself soon after it,
    ///   and not before it.
    /// - Returns: fields for the mark.
    func raise(until end: UInt64) throws -> [String: String]
    /// Lets everything go on, after the thaw. Never throws: a lost session has lowered it already.
    func lower()
    func close()
}

/// The backup of a service whose files are copied while its processes stand still.
///
/// What lies in the data directory is read before, while the service runs, and listed before that. In the hold the
/// service is frozen, listed again, and what changed is copied aside, beside the data so that blocks can be shared.
/// What the copy is to hold in the end is in its list, `holdfast-files.json`; a restore removes all else.
///
/// Writes that the kernel had under way when the processes stopped may be in the copy or not: nobody was told that
/// they are done, so either is what a crash could have left.
final class FrozenBackup: ServiceBackupSession {
    /// What a kind of service brings along.
    struct Rules: Sendable {
        /// Paths, relative to the data directory, that are left out.
        var skips: @Sendable (String) -> Bool
        /// Looks at the paths that are there; throws for what must not be.
        var check: @Sendable ([String]) throws -> Void = { _ in }
        /// The longest that the service stands still, behind its fence or frozen.
        var bound: Duration = .seconds(10)
        var time: any TimeSource = SystemTime()
        var fence: (any BackupFence)?
    }

    private enum Phase {
        case copying
        case marked(DataListing, staged: [String])
        case failed
        case closed
    }

    private struct State {
        var phase = Phase.copying
        var freeze: ServiceFreeze?
        var lock: Int32
    }

    static let stagingName = "hold"

    let dataDirectory: String
    private let instance: ServiceInstance
    private let rules: Rules
    private let before: DataListing
    private let state: Mutex<State>
    private let isClosing = Atomic<Bool>(false)

    var method: String { rules.fence == nil ? "frozen" : "physical" }

    /// Begins a backup; from now on the data directory may be copied.
    ///
    /// - Throws: `locked` while another one runs, `unsupported` for data that cannot be copied.
    init(_ instance: ServiceInstance, rules: Rules) throws {
        let lock = try BackupLock.take(instance)
        do {
            let data = try GuardedDirectory(instance.dataDirectory)
            let began = Int(rules.time.now().timeIntervalSince1970)
            Self.writeBack(instance.dataDirectory)
            before = try DataListing(data, began: began, skips: rules.skips)
            try rules.check(Array(before.files.keys))
            let freeze = try ServiceFreeze(instance, time: rules.time)
            let root = try GuardedDirectory(instance.directory)
            try root.removeAll(Self.stagingName)
            state = Mutex(State(freeze: freeze, lock: lock))
        } catch {
            Foundation.close(lock)
            throw error
        }
        dataDirectory = instance.dataDirectory
        self.instance = instance
        self.rules = rules
    }

    deinit { close() }

    func shouldSkip(_ relativePath: String) -> Bool { rules.skips(relativePath) || relativePath == FileList.name }

    func stagingNeed() -> StagingNeed? {
        try? state.withLock { state -> StagingNeed? in
            guard case .copying = state.phase, let freeze = state.freeze else { return nil }
            let data = try GuardedDirectory(instance.dataDirectory)
            let listing = try DataListing(
                data, began: Int(rules.time.now().timeIntervalSince1970), skips: { shouldSkip($0) })
            let changed = listing.changed(since: before, mapped: MappedFile.all(of: freeze.processes))
            let bytes = changed.reduce(Int64(0)) { $0 + (listing.files[$1]?.occupied ?? 0) }
            return StagingNeed(folder: instance.directory, bytes: bytes, source: instance.dataDirectory)
        }
    }

    func mark(until end: UInt64?) throws -> [String: String] {
        try state.withLock { state in
            switch state.phase {
            case .copying: break
            case .closed: throw HoldfastError(.cancelled, "the backup of service '\(instance.name)' was closed")
            case .marked, .failed: throw wrongPhase("its mark was taken, or taking it failed")
            }
            guard let freeze = state.freeze else { throw wrongPhase("it has no process to freeze") }
            // Whatever happens now, the backup cannot be marked a second time.
            state.phase = .failed
            // Last of all: the service does not wait for it.
            defer { if case .failed = state.phase { removeStaged() } }
            // Also when it is raised only half.
            defer { rules.fence?.lower() }
            // One for the fence and the freeze: a fence that has ended by itself must not be taken for one that stands.
            let asked = rules.time.monotonicNanoseconds()
            let limit = try asked + Deadline.nanoseconds(rules.time.left(of: rules.bound, until: end))
            var fields = try rules.fence?.raise(until: limit) ?? [:]
            let begun = rules.time.monotonicNanoseconds()
            let left = try rules.time.left(of: rules.bound, until: limit)
            let (listing, staged) = try freeze.whileFrozen(bound: left) { deadline in
                try stage(freeze, deadline)
            }
            fields["frozen_microseconds"] = String((rules.time.monotonicNanoseconds() - begun) / 1000)
            state.phase = .marked(listing, staged: staged)
            fields["files"] = String(listing.files.count)
            fields["files_copied_frozen"] = String(staged.count)
            return fields
        }
    }

    func collect(into staging: String) throws -> [CollectedFile] {
        try state.withLock { state in
            guard case .marked(let listing, let staged) = state.phase else { throw wrongPhase("it has no mark") }
            var files: [CollectedFile] = []
            for (number, path) in staged.enumerated() {
                let copy = "\(staging)/\(number)"
                try move("\(instance.directory)/\(Self.stagingName)/\(number)", to: copy)
                files.append(
                    CollectedFile(path: path, content: .file(copy), mode: listing.files[path]?.mode ?? 0o600))
            }
            let list = FileList(
                files: listing.files.mapValues(\.size), directories: listing.directories.mapValues { Int($0) })
            files.append(CollectedFile(path: FileList.name, content: .bytes(try list.encoded())))
            return files
        }
    }

    func close() {
        // Outside of the lock: a fence that waits for its server ends by this.
        if !isClosing.exchange(true, ordering: .acquiringAndReleasing) { rules.fence?.close() }
        // Whoever calls it, all is over when it returns: the next backup may begin at once.
        state.withLock { state in
            if case .closed = state.phase { return }
            state.phase = .closed
            state.freeze = nil
            removeStaged()
            if state.lock >= 0 { Foundation.close(state.lock) }
            state.lock = -1
        }
    }
}

extension FrozenBackup {
    /// Pages that were changed through memory become clean, so that the next change shows in the file's times.
    private static func writeBack(_ directory: String) {
        let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        _ = holdfast_syncfs(descriptor)
        Foundation.close(descriptor)
    }

    private func removeStaged() { try? GuardedDirectory(instance.directory).removeAll(Self.stagingName) }

    /// With the service frozen: lists what is there, and copies aside what is not as it was.
    private func stage(_ freeze: ServiceFreeze, _ deadline: Deadline) throws -> (DataListing, [String]) {
        let data = try GuardedDirectory(instance.dataDirectory)
        let now = Int(rules.time.now().timeIntervalSince1970)
        let listing = try DataListing(data, began: now, standsStill: true, skips: { shouldSkip($0) })
        try rules.check(Array(listing.files.keys))
        let changed = listing.changed(since: before, mapped: MappedFile.all(of: freeze.processes))
        let staging = try GuardedDirectory.make("\(instance.directory)/\(Self.stagingName)", mode: 0o700)
        var cloner = FileCloner { [self] in isClosing.load(ordering: .acquiring) }
        // One is open at a time; the paths are sorted.
        var (parent, folder) = ("", data)
        for (number, path) in changed.enumerated() {
            let wanted = (path as NSString).deletingLastPathComponent
            if wanted != parent { (parent, folder) = (wanted, try descend(wanted, below: data)) }
            let name = (path as NSString).lastPathComponent
            try cloner.copy(name, of: folder, to: "\(staging.path)/\(number)", deadline: deadline)
        }
        return (listing, changed)
    }

    private func descend(_ path: String, below data: GuardedDirectory) throws -> GuardedDirectory {
        try path.split(separator: "/").reduce(data) { try $0.directory(String($1)) }
    }

    private func move(_ source: String, to target: String) throws {
        if rename(source, target) == 0 { return }
        guard errno == EXDEV else { throw SystemFailure.error("move '\(source)'") }
        var cloner = FileCloner()
        let directory = try GuardedDirectory((source as NSString).deletingLastPathComponent)
        let name = (source as NSString).lastPathComponent
        try cloner.copy(name, of: directory, to: target, deadline: nil)
        try directory.remove(name)
    }

    private func wrongPhase(_ reason: String) -> HoldfastError {
        HoldfastError(.conflict, "the backup of service '\(instance.name)' cannot go on: \(reason)")
    }
}
