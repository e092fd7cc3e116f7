/// Points at which a crash is worth a test: before and after each step that cannot be half done.
package enum CrashPoint: String, Sendable, CaseIterable {
    /// The catalogue has the project, and nothing else has been made for it.
    case projectRecorded = "project.recorded"
    case backupPreCopied = "backup.pre-copied"
    /// In the hold: nothing is under way behind the gate, nothing is frozen.
    case backupDrained = "backup.drained"
    /// In the hold: everything is frozen, no mark is taken.
    case backupFrozen = "backup.frozen"
    /// In the hold: half of the marks are taken, the others are under way.
    case backupMarking = "backup.marking"
    /// In the hold: all marks are taken.
    case backupMarked = "backup.marked"
    /// In the hold: the processes run, the gate is closed.
    case backupThawed = "backup.thawed"
    case backupReleased = "backup.released"
    /// The snapshot object is on the sites, the catalogue does not know of it.
    case backupStored = "backup.stored"
    /// It is listed, and what it takes the place of is there still.
    case backupListed = "backup.listed"
    /// The data of one deleted backup are gone; others may be about to go.
    case backupPurged = "backup.purged"
    case restoreFilled = "restore.filled"
    /// Behind the closed gate, nothing switched.
    case switchHeld = "switch.held"
    /// `current.json` is replaced, the processes have not followed.
    case switchWritten = "switch.written"
    /// The processes have followed, the gate is closed.
    case switchApplied = "switch.applied"
}
