import Foundation
import HoldfastEnvironments
import HoldfastModel
import HoldfastRepository
import Synchronization

/// Gets services and mounts into the session as of one instant, and proves it; or, live, with the recorded skew.
struct ConsistentPoint {
    let source: BackupSource
    let session: BackupSession
    let house: House
    let context: ActivityContext

    func take(into manifest: inout BackupManifest, safe: Bool, staging: Staging) throws {
        var attempts = Attempts()
        while true {
            let sessions: ServiceSessions
            do {
                sessions = try ServiceSessions(
                    source: source, label: "holdfast-\(manifest.backup)", log: { context.log($0) })
            } catch let error as HoldfastError {
                throw error.after(attempts.firstFailure)
            }
            defer { sessions.close() }
            let mounts = MountStaging(
                mounts: source.distinctMounts, session: session, staging: staging, time: house.time,
                log: { context.log($0) })
            do {
                try preCopy(sessions, &manifest)
                let need = try mounts.preCopyAgain()
                if safe { try checkRoom(sessions, mounts, need) }
            } catch let error as HoldfastError {
                throw error.after(attempts.firstFailure)
            }
            house.reached(.backupPreCopied)
            if safe {
                var evidence: HoldEvidence?
                // A hold that ended before its marks leaves sessions and pre-copy as good as they were.
                while evidence == nil, sessions.isFresh {
                    evidence = try hold(sessions, mounts, &attempts)
                }
                guard let evidence else { continue }
                manifest.hold = evidence
            } else {
                manifest.skew = try markLive(sessions, mounts)
            }
            house.reached(.backupReleased)
            try copyOut(sessions, staging, &manifest)
            return
        }
    }

    /// Reads services and mounts while everything runs.
    private func preCopy(_ sessions: ServiceSessions, _ manifest: inout BackupManifest) throws {
        let total = sessions.all.count + source.distinctMounts.count
        var done = 0
        for (name, service) in sessions.all {
            let statistics = try session.capture(
                service.dataDirectory, as: "/services/\(name)/data",
                filter: CaptureFilter(mayVanish: true, excludes: { service.shouldSkip($0) }))
            manifest.services[name] = ServiceManifest(
                type: source.current.services[name]?.type ?? "", serverVersion: sessions.versions[name] ?? "",
                method: service.method, path: "/services/\(name)", mark: [:], bytes: statistics.bytes)
            manifest.services[name]?.databases = service.databases
            done += 1
            context.log("Pre-copied service \(name): \(statistics.summary)")
            let damage = service.damage()
            if !damage.isEmpty { manifest.services[name]?.damage = damage }
            for line in damage { context.log("Warning: service \(name): \(line)") }
            context.progress(70 * done / max(total, 1))
        }
        for mount in source.distinctMounts {
            let statistics = try session.capture(mount.directory, as: mount.treePath, willBeStaged: true)
            for sharer in source.mounts where sharer.treePath == mount.treePath {
                manifest.mounts[sharer.app, default: [:]][sharer.path] = MountManifest(
                    path: mount.treePath, source: mount.source, files: statistics.files, bytes: statistics.bytes)
            }
            done += 1
            context.log("Pre-copied mount \(mount.app)/\(mount.path): \(statistics.summary)")
            context.progress(70 * done / max(total, 1))
        }
    }

    /// Fails before anybody is held if what the hold copies aside clearly does not fit.
    ///
    /// - Parameter need: of the mounts. What the last round copied need not change again, and the room that its copies
    ///   took may be free only a moment later, so it takes one more round to be believed.
    private func checkRoom(_ sessions: ServiceSessions, _ mounts: MountStaging, _ need: StagingNeed) throws {
        do {
            try house.stagingRoom.check(sessions.stagingNeeds() + [need])
        } catch {
            context.log("Looking again before the hold: \(error)")
            Thread.sleep(forTimeInterval: house.retryDelay)
            let again = try mounts.preCopyAgain()
            try house.stagingRoom.check(sessions.stagingNeeds() + [again])
        }
    }

    /// What the tries at the point have come to.
    private struct Attempts {
        var tries = HoldTries()
        /// How often a hold was begun, or could not be.
        var count = 0
        /// Why the first one failed: what came after it is often only its consequence.
        var firstFailure: HoldfastError?
    }

    /// One try at a consistent point.
    ///
    /// - Returns: the evidence of an unbroken hold; nil if it broke and may be tried again.
    /// - Throws: when it failed for good, or on the last try; the first failure is part of the reason.
    private func hold(
        _ sessions: ServiceSessions, _ mounts: MountStaging, _ attempts: inout Attempts
    ) throws -> HoldEvidence? {
        attempts.count += 1
        let begun = attempts.tries.count
        let failure: HoldfastError
        do {
            let evidence = try holdStill(sessions, mounts, &attempts.tries)
            context.log(evidence.summary)
            if evidence.unbroken { return evidence }
            failure = HoldfastError(
                .timedOut, "the hold was broken, so the backup is not consistent",
                hint: "Look at the load of the machine, or take a live backup with --live")
        } catch let error as HoldfastError {
            failure = error
        }
        let foundNoMoment = attempts.tries.count == begun && attempts.tries.waited >= house.holdLimits.patience
        let mayTryAgain = attempts.count < BackupActivity.attempts && !foundNoMoment
        guard failure.isTemporary, mayTryAgain else { throw failure.after(attempts.firstFailure) }
        attempts.firstFailure = attempts.firstFailure ?? failure
        context.log("No consistent point yet: \(failure). Trying again.")
        Thread.sleep(forTimeInterval: house.retryDelay)
        return nil
    }

    /// The hold itself. The session's threads go on while it waits for a good moment, and stand still after that.
    private func holdStill(
        _ sessions: ServiceSessions, _ mounts: MountStaging, _ tries: inout HoldTries
    ) throws -> HoldEvidence {
        let coordinator = HoldCoordinator(
            gate: house.gate, freezer: house.freezer, time: house.time,
            hint: "Try again when these have ended, or take a live backup with --live",
            log: { [context] in context.log($0) }, reached: house.reached)
        defer { session.resumeWork() }
        return try coordinator.hold(
            source.environment.id, limits: house.holdLimits, tries: &tries, closes: { session.pauseWork() }
        ) { scope in
            // A service must not stand still for a mark that is worth nothing any more.
            scope.whenLost { sessions.close() }
            let half = max(1, (sessions.all.count + mounts.mounts.count) / 2)
            try mark(sessions, mounts, until: scope.end) { [reached = house.reached] name in
                if scope.marked(name) == half { reached(.backupMarking) }
            }
        }
    }

    /// The marks: every service in parallel, and beside them, on this thread, the changed files of every mount.
    private func mark(
        _ sessions: ServiceSessions, _ mounts: MountStaging, until end: UInt64,
        taken: @escaping @Sendable (String) -> Void
    ) throws {
        let work = sessions.all.map { name, _ -> @Sendable () throws -> Void in
            { [sessions] in
                try sessions.mark(name, until: end)
                taken(name)
            }
        }
        try inParallel(work) { try mounts.mark(isHeld: true, taken: taken) }
    }

    /// Databases first, files second: at worst there are files that no row knows about.
    private func markLive(_ sessions: ServiceSessions, _ mounts: MountStaging) throws -> LiveSkew {
        let databases = mounts.databases()
        let taken = Mutex<[(name: String, at: Date)]>([])
        let time = house.time
        // A mark is taken some time before it is known to be taken.
        let begun = time.now()
        let record: @Sendable (String) -> Void = { name in taken.withLock { $0.append((name, time.now())) } }
        _ = try inParallel(
            sessions.all.map { name, _ in
                { @Sendable [sessions] in
                    try sessions.mark(name, until: nil)
                    record(name)
                }
            })
        let torn = try mounts.mark(isHeld: false, databases: databases, taken: record)
        let marks = taken.withLock { $0 }
        var skew = LiveSkew(
            firstMarkAt: begun, lastMarkAt: marks.map(\.at).max() ?? begun,
            order: marks.map(\.name))
        context.log("live, marks within \(Int(skew.milliseconds.rounded(.up))) ms")
        if !torn.isEmpty {
            skew.torn = Array(torn.prefix(100))
            context.log(
                "Warning: \(torn.count) files were written to while they were copied, and may be of no use: "
                    + TornFiles.summary(of: torn)
                    + ". A consistent backup has each of them as it was at one moment.")
        }
        return skew
    }

    private func copyOut(
        _ sessions: ServiceSessions, _ staging: Staging, _ manifest: inout BackupManifest
    ) throws {
        _ = try session.storeStaged()
        for (name, service) in sessions.all {
            for file in try service.collect(into: staging.directory(forService: name)) {
                let path = "/services/\(name)/data/\(file.path)"
                switch file.content {
                case .bytes(let bytes): try session.add(bytes: bytes, as: path, mode: 0o600)
                case .file(let staged): try session.add(file: staged, as: path)
                }
            }
            manifest.services[name]?.mark = sessions.marks[name] ?? [:]
        }
        context.log("Copied out what the marks need.")
    }
}

extension HoldfastError {
    /// The error of a later try that says with what it began, unless it was the same.
    package func after(_ first: HoldfastError?) -> HoldfastError {
        guard let first, first.message != message else { return self }
        let began = first.cause.map { "\(first.message): \($0)" } ?? first.message
        return HoldfastError(code, "\(began); tried again: \(message)", hint: hint ?? first.hint, cause: cause)
    }
}
