import Foundation
import HoldfastModel

/// Makes restored files ready for a server that recovers to the mark and no further.
struct PostgreSQLRestore {
    static let markFile = "restore.json"
    static let recoveryFile = "recovery.conf"
    static let logDirectory = "wal"

    let adapter: PostgreSQLAdapter
    let instance: ServiceInstance

    func prepare(_ manifest: ServiceManifest) throws {
        try checkVersion(manifest)
        let mark = try PostgreSQLMark(fields: manifest.mark)
        let root = try GuardedDirectory.make(instance.directory, mode: 0o755)
        let data = try root.directory("data")
        let written = try PostgreSQLCluster.version(of: data, service: instance.name)
        guard written == instance.type.version else { throw PostgreSQLAdapter.wrongVersion(instance, found: written) }
        try checkLabel(data, mark: mark)
        try checkTablespaces(data)
        for name in ["postmaster.pid", "postmaster.opts", "standby.signal"] { try data.remove(name) }
        for name in PostgreSQLCopyRules.emptyDirectories.sorted() {
            _ = try data.makeDirectory(name, mode: 0o700)
        }
        try moveLog(of: data, into: root, mark: mark)
        try data.write("recovery.signal", [], mode: 0o600)
        try data.setMode(0o700)
        try data.giveAll(to: instance.user)
        try writeConfiguration(root, mark: mark)
    }

    private func checkVersion(_ manifest: ServiceManifest) throws {
        let type = try TypeReference(manifest.type)
        guard manifest.method == "physical" else {
            throw HoldfastError(
                .unsupported, "service '\(instance.name)' was backed up by the method '\(manifest.method)'")
        }
        let major = String(manifest.serverVersion.prefix { $0 != "." })
        guard type.name == instance.type.name, major == instance.type.version else {
            throw HoldfastError(
                .unsupported,
                "the backup of service '\(instance.name)' is of \(type.name) \(manifest.serverVersion), "
                    + "and '\(instance.type)' cannot read it",
                hint: "Restore it into a service of type '\(type.name):\(major)'")
        }
        // The server has to be here before anything is touched.
        _ = try PostgreSQLPrograms(instance.type)
    }

    /// Without its label a copy starts, and is silently corrupt.
    private func checkLabel(_ data: GuardedDirectory, mark: PostgreSQLMark) throws {
        guard try data.status("backup_label") != nil else {
            throw HoldfastError(.damaged, "the backup of service '\(instance.name)' has no backup_label")
        }
        let label = try BackupLabel(String(decoding: data.read("backup_label", limit: 65536), as: UTF8.self))
        guard label.segment == mark.firstSegment, label.start.description == mark.start else {
            throw HoldfastError(
                .damaged,
                "the backup of service '\(instance.name)' has a label that begins at \(label.start) "
                    + "and a mark that begins at \(mark.start)")
        }
    }

    private func checkTablespaces(_ data: GuardedDirectory) throws {
        let names = try data.directory("pg_tblspc").names()
        guard names.isEmpty else {
            throw HoldfastError(
                .unsupported,
                "the backup of service '\(instance.name)' has tablespaces: "
                    + names.joined(separator: ", "))
        }
    }

    /// Puts the log beside the data, from where `restore_command` fetches it.
    private func moveLog(of data: GuardedDirectory, into root: GuardedDirectory, mark: PostgreSQLMark) throws {
        let source = try data.directory("pg_wal")
        let target = try root.makeDirectory(Self.logDirectory, mode: 0o755)
        for name in try source.names() {
            guard LogSegments.isSegmentName(name) || name.hasSuffix(".history") else { continue }
            // A link or a directory in place of a log file would be moved as such: opening it refuses them.
            close(try source.openFile(name).descriptor)
            try source.move(name, to: target)
        }
        try target.giveAll(to: instance.user)
        try target.take()
        try target.sync()
        try source.sync()
        for name in [mark.firstSegment, mark.lastSegment] where try target.status(name) == nil {
            throw HoldfastError(
                .damaged, "the backup of service '\(instance.name)' lacks the log file '\(name)'")
        }
    }

    private func writeConfiguration(_ root: GuardedDirectory, mark: PostgreSQLMark) throws {
        let directory = try root.makeDirectory("conf", mode: 0o755)
        let text = PostgreSQLConfigurationFiles.recovery(
            logDirectory: instance.directory + "/" + Self.logDirectory, restorePoint: mark.restorePoint)
        try directory.write(Self.recoveryFile, Array(text.utf8), mode: 0o644)
        try directory.write(Self.markFile, Array(JSONEncoder().encode(mark)), mode: 0o644)
    }
}
