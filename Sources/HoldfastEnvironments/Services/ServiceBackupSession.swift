import HoldfastModel

/// A backup of one service while it is being taken.
///
/// The order of calls is: copy `dataDirectory` (without what `shouldSkip` names), `mark()`, `collect(into:)`,
/// `close()`. `close()` may come at any time, from any thread, and more than once; without the calls before it, it
/// cancels the backup and leaves nothing behind in the service. A session is marked once: a hold that broke after a
/// mark, or a mark that failed, needs a new session and a new copy.
package protocol ServiceBackupSession: AnyObject, Sendable {
    /// How the service is stored, for `ServiceManifest.method`: `physical`, `frozen` or `empty`.
    var method: String { get }

    /// What its databases need of the machine that they are restored on, for `ServiceManifest.databases`; asked when
    /// the backup begins.
    var databases: [String: DatabaseManifest]? { get }

    /// Absolute path of the directory to copy. Its files may change and vanish while they are copied.
    var dataDirectory: String { get }

    /// Whether the physical copy leaves this file out. Directories for which it says no have to exist in the backup
    /// even if everything in them is left out.
    ///
    /// - Parameter relativePath: relative to `dataDirectory`, without a slash at its beginning or end.
    func shouldSkip(_ relativePath: String) -> Bool

    /// Looks, after the copy and before the hold, for damage that the copy has taken over.
    ///
    /// - Returns: what was found, for people; empty if all is well or nobody can tell.
    func damage() -> [String]

    /// What the mark would copy aside if it were taken now; looked at before the hold.
    ///
    /// - Returns: nil if it copies nothing, or nobody can tell.
    func stagingNeed() -> StagingNeed?

    /// Fixes the service's point in time. Called in the hold; bounded by a time-out of its own.
    ///
    /// A mark that fails lets the service go on at once and leaves nothing beside its data.
    ///
    /// - Parameter end: nanoseconds of the monotonic clock by which the service has to go on, whatever was reached;
    ///   nil leaves it to the time-out.
    /// - Returns: the mark in the service's own terms, for `ServiceManifest.mark`.
    /// - Throws: `timedOut`, `unavailable` if the session was lost, `cancelled` after `close()`, `conflict` if the mark
    ///   was taken already.
    func mark(until end: UInt64?) throws -> [String: String]

    /// Gathers what the copy lacks, after the release.
    ///
    /// - Parameter staging: an existing directory that only the control plane can write to.
    /// - Throws: `conflict` before `mark()`, `damaged` if the service no longer has what is needed.
    func collect(into staging: String) throws -> [CollectedFile]

    /// Ends the session and frees all it holds in the service.
    func close()
}

extension ServiceBackupSession {
    package var method: String { "physical" }

    package var databases: [String: DatabaseManifest]? { nil }

    package func damage() -> [String] { [] }

    package func stagingNeed() -> StagingNeed? { nil }

    /// The same with nothing but its own time-out.
    package func mark() throws -> [String: String] { try mark(until: nil) }
}

/// What is to be copied aside in a hold, as far as it is known before it.
package struct StagingNeed: Sendable, Hashable {
    /// Absolute path of a folder on the file system that takes the copies.
    package let folder: String
    /// At least so many.
    package let bytes: Int64
    /// Absolute path of the directory that is copied, which may share its blocks with the copies; nil if they are known
    /// to take room.
    package let source: String?

    package init(folder: String, bytes: Int64, source: String? = nil) {
        self.folder = folder
        self.bytes = bytes
        self.source = source
    }
}

/// A file that belongs into the backup next to, or in place of, the copied ones.
package struct CollectedFile: Sendable, Hashable {
    /// Relative to the data directory.
    package let path: String
    package let content: Content
    /// Permission bits.
    package let mode: UInt32

    package enum Content: Sendable, Hashable {
        case bytes([UInt8])
        /// Absolute path of a file in the staging directory.
        case file(String)
    }

    package init(path: String, content: Content, mode: UInt32 = 0o600) {
        self.path = path
        self.content = content
        self.mode = mode
    }
}
