import Foundation
import HoldfastModel

// HoldfastEnvironments: what an environment is on this machine.
//
// Configuration, code and builds, services and their adapters, and the supervisor that owns the processes.
// This file says where everything of one environment lies; `current.json` in it says what is live, and replacing
// that file by a rename is the only switch there is.

/// Where the things of one environment lie.
package struct EnvironmentLayout: Sendable, Hashable {
    package let environment: EnvironmentID
    /// Absolute path of the environment's directory.
    package let directory: String
    /// Absolute path of the folder for sockets; short, because the path of a Unix socket ends at 107 bytes.
    package let run: String

    /// - Parameters:
    ///   - home: absolute path of the state directory.
    ///   - run: absolute path of the folder for sockets, shared by all environments.
    package init(home: String, run: String, environment: EnvironmentID) {
        self.environment = environment
        self.directory = "\(home)/environments/\(environment)"
        self.run = run
    }

    package var currentFile: String { directory + "/current.json" }
    /// The state before the last restore, as older versions kept it: read if `current.json` does not say.
    package var previousFile: String { directory + "/previous.json" }
    /// Directories that an activity has begun to fill, and that were never live.
    package var asideFile: String { directory + "/aside.json" }
    package var portsFile: String { directory + "/ports.json" }
    /// What the supervisor remembers of its processes.
    package var processesFile: String { directory + "/processes.json" }
    package var logDirectory: String { directory + "/log" }
    /// A folder for copies that are made in a hold, on the same file system as services and mounts.
    package var stagingDirectory: String { directory + "/staging" }
    /// The supervisor's control socket.
    package var socket: String { "\(run)/\(environment).sock" }
    /// Sockets of the environment's own processes.
    package var environmentRunDirectory: String { "\(run)/\(environment)" }

    package func appLog(_ app: String) -> String { log("app.\(app)") }
    package func workerLog(_ app: String, _ worker: String) -> String { log("worker.\(app).\(worker)") }
    package func cronLog(_ app: String, _ cron: String) -> String { log("cron.\(app).\(cron)") }
    package func serviceLog(_ service: String) -> String { log("service.\(service)") }
    package var superviseLog: String { log("supervise") }

    /// `log/<name>.log`; whatever could lead out of the folder is replaced.
    package func log(_ name: String) -> String {
        let safe = name.unicodeScalars.map { scalar in
            scalar == "/" || scalar.value < 32 || scalar.value == 127 ? "_" : Character(scalar)
        }
        return "\(logDirectory)/\(String(safe.prefix(200))).log"
    }

    /// Folder for the socket of a service on one of its data directories, such as `services/db/2`.
    package func runDirectory(service directory: String) -> String {
        let parts = directory.split(separator: "/")
        return "\(environmentRunDirectory)/\(parts.dropFirst().joined(separator: "."))"
    }

    /// Makes the environment's folders; harmless when called again.
    package func create() throws {
        let parent = (directory as NSString).deletingLastPathComponent
        // Apps run as other users: they may pass through, and see nothing.
        let mode: mode_t = geteuid() == 0 ? 0o711 : 0o700
        try Self.makeDirectory(parent, mode: mode)
        try Self.makeDirectory(directory, mode: mode)
        for name in ["apps", "services", "mounts"] { try Self.makeDirectory("\(directory)/\(name)", mode: mode) }
        try Self.makeDirectory(logDirectory, mode: 0o700)
        try Self.makeDirectory(stagingDirectory, mode: 0o700)
        try Self.makeDirectory(run, mode: mode)
        try Self.makeDirectory(environmentRunDirectory, mode: mode)
    }

    /// Deletes everything that the environment has, data included. Its processes have to be stopped before.
    package func removeData() throws {
        unlink(socket)
        // What is live is forgotten first: a deletion that is cut short leaves nothing that looks whole.
        for path in [currentFile, previousFile, directory, environmentRunDirectory] {
            do {
                try FileTree.remove(path)
            } catch {
                throw HoldfastError(
                    .system, "cannot delete '\(path)'", hint: "See who uses it, with fuser, and try again", cause: error
                )
            }
        }
    }

    // MARK: States

    /// What is live; nil if nothing was ever deployed.
    package func readCurrent() throws -> CurrentState? { try readState(currentFile) }
    /// The states before, the newest first: all that an undo or an interrupted switch may need.
    package func readBefore() throws -> [CurrentState] {
        if let before = try readCurrent()?.before { return before }
        return try readState(previousFile).map { [$0] } ?? []
    }
    /// What an undo leads to; nil if there is nothing.
    package func readPrevious() throws -> CurrentState? { try readBefore().first }
    /// All states whose directories are needed: what is live, and what was before it.
    package func readStates() throws -> [CurrentState] { try (readCurrent().map { [$0] } ?? []) + readBefore() }

    /// The switch: whoever reads sees the old state or the new one, also after a power failure, and with it the states
    /// before. A state without `before` has none.
    package func writeCurrent(_ state: CurrentState) throws {
        var state = state
        state.before = (state.before ?? []).map { before in
            var before = before
            before.before = nil
            return before
        }
        try writeState(state, currentFile)
        // Nobody reads it from here on.
        unlink(previousFile)
    }

    /// The switch has come to its end: of the states before only the newest stays. What only the others name is on
    /// record then, for `removeAside`. Brings the files of older versions into today's form.
    package func settleBefore() throws {
        guard var current = try readCurrent() else { return }
        let before = try readBefore()
        guard before.count > 1 || current.before == nil else { return }
        let needed = Set((before.prefix(1) + [current]).flatMap(\.directories))
        try note(aside: before.dropFirst().flatMap(\.directories).filter { !needed.contains($0) })
        current.before = Array(before.prefix(1))
        try writeCurrent(current)
    }

    private func readState(_ path: String) throws -> CurrentState? {
        guard let bytes = try DurableFile.read(path) else { return nil }
        let state: CurrentState
        do {
            state = try JSONDecoder().decode(CurrentState.self, from: Data(bytes))
        } catch {
            throw HoldfastError(
                .damaged, "'\(path)' cannot be read", hint: "Restore the environment from a backup", cause: error)
        }
        guard state.version == 1 else {
            throw HoldfastError(
                .unsupported, "'\(path)' has version \(state.version), known is 1", hint: "Use a newer holdfast")
        }
        return state
    }

    private func writeState(_ state: CurrentState, _ path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        try DurableFile.write(Array(try encoder.encode(state)), to: path)
    }

    // MARK: Directories

    /// The absolute path of a directory that `current.json` names.
    ///
    /// - Throws: `invalidInput` for anything but plain names below the environment's directory.
    package func absolute(_ relative: String) throws -> String {
        let parts = relative.split(separator: "/", omittingEmptySubsequences: false)
        let isPlain = parts.allSatisfy { part in
            !part.isEmpty && part != "." && part != ".." && part.utf8.count <= 255
                && part.unicodeScalars.allSatisfy { $0.value >= 32 && $0.value != 127 }
        }
        guard parts.count >= 2, isPlain, ["apps", "services", "mounts"].contains(String(parts[0])) else {
            throw HoldfastError(
                .invalidInput, "'\(relative.prefix(200))' is not a directory of environment \(environment)")
        }
        return "\(directory)/\(relative)"
    }

    /// The next free number under `prefix`, such as `services/db/4` for `services/db`. Numbers are never used again
    /// while a higher one exists. The parent is made; the directory itself is left to the caller, and is on record as
    /// never having been live until `settleAside` or `removeAside`.
    package func nextDirectory(_ prefix: String) throws -> String {
        let parent = try absolute(prefix)
        let mode: mode_t = geteuid() == 0 ? 0o711 : 0o700
        var path = directory
        for part in prefix.split(separator: "/") {
            path += "/\(part)"
            try Self.makeDirectory(path, mode: mode)
        }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? []
        var used = Set(names.compactMap { Int($0) })
        // A number may be live or kept for an undo though its directory was lost.
        for state in try readStates() {
            for directory in state.directories where directory.hasPrefix(prefix + "/") {
                if let number = Int(directory.dropFirst(prefix.count + 1)) { used.insert(number) }
            }
        }
        let next = "\(prefix)/\((used.max() ?? 0) + 1)"
        try note(aside: next)
        return next
    }

    static func makeDirectory(_ path: String, mode: mode_t) throws {
        if mkdir(path, mode) == 0 {
            // The process's mask may have taken bits away.
            guard chmod(path, mode) == 0 else { throw SystemFailure.error("set the mode of '\(path)'") }
            return
        }
        if errno == ENOENT {
            let parent = (path as NSString).deletingLastPathComponent
            guard !parent.isEmpty, parent != path else {
                throw SystemFailure.error("make the folder '\(path)'", ENOENT)
            }
            try makeDirectory(parent, mode: 0o755)
            return try makeDirectory(path, mode: mode)
        }
        guard errno == EEXIST else { throw SystemFailure.error("make the folder '\(path)'") }
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw HoldfastError(.conflict, "'\(path)' is not a folder")
        }
    }
}

extension EnvironmentLayout {
    /// App name -> loopback port, as far as ports were given out.
    package func readPorts() throws -> [String: Int] {
        let ports = try PortRegistry(file: portsFile).all
        var apps: [String: Int] = [:]
        for (key, port) in ports where key.hasPrefix("app:") { apps[String(key.dropFirst(4))] = port }
        return apps
    }
}
