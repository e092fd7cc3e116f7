import Foundation
import HoldfastModel

/// A data directory as PostgreSQL makes it.
enum PostgreSQLCluster {
    private static let unfinished = "data.new"

    /// Makes an empty cluster with checksums, UTF-8 and C.UTF-8, whole or not at all.
    static func create(
        _ instance: ServiceInstance, in root: GuardedDirectory, with programs: PostgreSQLPrograms
    ) throws {
        try root.removeAll(unfinished)
        let directory = try root.makeDirectory(unfinished, mode: 0o700)
        try directory.give(to: instance.user)
        try ServiceProcesses.run(
            programs.path("initdb"),
            [
                "--pgdata", directory.path, "--data-checksums", "--encoding=UTF8", "--locale=C.UTF-8",
                "--username=\(PostgreSQLAdapter.superuser)", "--auth-local=peer", "--auth-host=reject",
                "--no-instructions",
            ], instance, timeout: .seconds(120))
        // Nothing in a cluster knows its own path.
        try root.rename(unfinished, to: "data")
    }

    /// The major version that wrote the data.
    static func version(of data: GuardedDirectory, service: String) throws -> String {
        guard try data.status("PG_VERSION") != nil else {
            throw HoldfastError(
                .damaged, "the data directory '\(data.path)' of service '\(service)' has no PG_VERSION",
                hint: "Restore a backup, or remove the directory to begin with an empty database")
        }
        let text = String(decoding: try data.read("PG_VERSION", limit: 64), as: UTF8.self)
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Removes the lock file of a server that is gone.
    ///
    /// PostgreSQL itself refuses to start if any process of the same user has the number in it, which after a restart
    /// of the machine may be an app's worker. Every process of a server works in its data directory.
    static func removeStaleLock(of data: GuardedDirectory, path: String) throws {
        guard try data.status("postmaster.pid") != nil, !isServed(path) else { return }
        try data.remove("postmaster.pid")
    }

    private static func isServed(_ path: String) -> Bool {
        var wanted = stat()
        guard stat(path, &wanted) == 0 else { return false }
        let processes = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return processes.contains { name in
            var status = stat()
            guard Int32(name) != nil, stat("/proc/\(name)/cwd", &status) == 0 else { return false }
            return status.st_dev == wanted.st_dev && status.st_ino == wanted.st_ino
        }
    }
}
