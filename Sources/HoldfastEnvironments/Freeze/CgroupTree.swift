import Foundation
import HoldfastModel

/// How processes are made to stand still.
package enum FreezeMethod: String, Sendable, Codable, CaseIterable {
    /// `cgroup.freeze` of a v2 hierarchy; works on hybrid machines too.
    case cgroup2
    /// The v1 freezer. A SIGKILL takes effect only after the thaw there.
    case cgroup1
    /// SIGSTOP to every process: visible to parents, and a process may continue another.
    case signal
}

/// The cgroups of one environment: `holdfast.<id>/frozen/<process>` and `holdfast.<id>/services/<process>`.
///
/// Freezing `frozen` freezes all that is below it. One leaf per process makes sure that nothing of it is left when
/// it is ended, whatever it forked and wherever that went.
package struct CgroupTree: Sendable {
    let method: FreezeMethod
    /// Absolute path of `holdfast.<id>`.
    let root: String

    var frozenDirectory: String { root + "/frozen" }
    var freezeFile: String { frozenDirectory + (method == .cgroup2 ? "/cgroup.freeze" : "/freezer.state") }
    var frozenText: String { method == .cgroup2 ? "1" : "FROZEN" }
    var thawedText: String { method == .cgroup2 ? "0" : "THAWED" }

    /// The first of the methods that works here; nil leaves signals.
    static func make(environment: EnvironmentID, allowed: [FreezeMethod]) -> CgroupTree? {
        guard geteuid() == 0, let mounts = ProcessTable.read("/proc/self/mountinfo") else { return nil }
        for method in allowed {
            guard let mount = mountPoint(of: method, in: mounts) else { continue }
            let tree = CgroupTree(method: method, root: "\(mount)/holdfast.\(environment)")
            if tree.create() { return tree }
        }
        return nil
    }

    /// A group for what builds an environment: it is not frozen with the environment, and no supervisor looks into it.
    ///
    /// - Returns: its absolute path; nil if there can be none.
    static func buildGroup(environment: EnvironmentID, methods: [FreezeMethod]) -> String? {
        guard geteuid() == 0, let mounts = ProcessTable.read("/proc/self/mountinfo") else { return nil }
        for method in methods {
            guard let mount = mountPoint(of: method, in: mounts) else { continue }
            let path = "\(mount)/holdfast-build.\(environment)"
            guard mkdir(path, 0o755) == 0 || errno == EEXIST else { continue }
            if access("\(path)/cgroup.procs", W_OK) == 0 { return path }
        }
        return nil
    }

    /// Where the hierarchy is mounted, out of the text of `/proc/self/mountinfo`.
    package static func mountPoint(of method: FreezeMethod, in mountinfo: String) -> String? {
        for line in mountinfo.split(separator: "\n") {
            let halves = line.components(separatedBy: " - ")
            guard halves.count == 2 else { continue }
            let fields = halves[0].split(separator: " ")
            let kind = halves[1].split(separator: " ")
            // Only a mount of the whole hierarchy: fields are id, parent, device, root, mount point, options.
            guard fields.count > 4, kind.count > 2, !fields[4].contains("\\") else { continue }
            switch method {
            case .cgroup2 where kind[0] == "cgroup2": return String(fields[4])
            case .cgroup1 where kind[0] == "cgroup":
                if kind[2].split(separator: ",").contains("freezer") { return String(fields[4]) }
            default: continue
            }
        }
        return nil
    }

    /// How processes are made to stand still on this machine, without making anything.
    package static func available() -> FreezeMethod {
        guard geteuid() == 0, let mounts = ProcessTable.read("/proc/self/mountinfo") else { return .signal }
        let found = FreezeMethod.allCases.first { method in
            mountPoint(of: method, in: mounts).map { access($0, W_OK) == 0 } ?? false
        }
        return found ?? .signal
    }

    /// Whether the processes of an environment stand still in a cgroup, whoever made them.
    package static func isFrozen(_ environment: EnvironmentID) -> Bool {
        guard let mounts = ProcessTable.read("/proc/self/mountinfo") else { return false }
        return FreezeMethod.allCases.contains { method in
            mountPoint(of: method, in: mounts)
                .map { CgroupTree(method: method, root: "\($0)/holdfast.\(environment)").isFrozen } ?? false
        }
    }

    private func create() -> Bool {
        for path in [root, frozenDirectory, root + "/services"] {
            guard mkdir(path, 0o755) == 0 || errno == EEXIST else { return false }
        }
        return access(freezeFile, W_OK) == 0 && access(frozenDirectory + "/cgroup.procs", W_OK) == 0
    }

    /// Makes the leaf of one process.
    ///
    /// - Parameter key: a name of the process that is unique in the environment.
    func leaf(_ key: String, isFrozenSet: Bool) throws -> String {
        let name = MountPath.component(for: key)
        let path = "\(root)/\(isFrozenSet ? "frozen" : "services")/\(name)"
        guard mkdir(path, 0o755) == 0 || errno == EEXIST else { throw SystemFailure.error("make the cgroup '\(path)'") }
        return path
    }

    /// Processes in a cgroup itself.
    static func members(_ path: String) -> [Int32] {
        (ProcessTable.read(path + "/cgroup.procs") ?? "").split(separator: "\n").compactMap { Int32($0) }
    }

    /// Ends all that is in a leaf, and removes it.
    static func killAll(_ path: String) {
        for attempt in 0..<200 {
            let left = members(path)
            if left.isEmpty { break }
            // v1 and kernels before 5.14 have no cgroup.kill.
            if attempt > 0 || !write("1", to: path + "/cgroup.kill") {
                for pid in left where pid > 1 { kill(pid, SIGKILL) }
            }
            usleep(1000)
        }
        rmdir(path)
    }

    /// Removes what is empty; leaves with processes stay.
    func remove() {
        for part in [frozenDirectory, root + "/services"] {
            for name in (try? FileManager.default.contentsOfDirectory(atPath: part)) ?? [] { rmdir("\(part)/\(name)") }
            rmdir(part)
        }
        rmdir(root)
    }

    /// Processes that stand in a leaf nobody remembers, such as one whose supervisor died while starting it.
    func strangers(known: Set<String>) -> [String] {
        [frozenDirectory, root + "/services"].flatMap { part in
            ((try? FileManager.default.contentsOfDirectory(atPath: part)) ?? [])
                .map { "\(part)/\($0)" }
                .filter { access($0 + "/cgroup.procs", F_OK) == 0 && !known.contains($0) }
        }
    }

    /// Asks for the freeze; `isFrozen` says when it is there.
    func freeze() throws {
        guard Self.write(frozenText, to: freezeFile) else { throw SystemFailure.error("write '\(freezeFile)'") }
    }

    func thaw() throws {
        guard Self.write(thawedText, to: freezeFile) else { throw SystemFailure.error("write '\(freezeFile)'") }
    }

    var isFrozen: Bool {
        switch method {
        case .cgroup2:
            (ProcessTable.read(frozenDirectory + "/cgroup.events") ?? "").split(separator: "\n").contains("frozen 1")
        case .cgroup1, .signal:
            ProcessTable.read(freezeFile)?.trimmingCharacters(in: .whitespacesAndNewlines) == "FROZEN"
        }
    }

    static func write(_ text: String, to path: String) -> Bool {
        let file = open(path, O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        return Foundation.write(file, text, text.utf8.count) == text.utf8.count
    }
}
