import Foundation

/// What all tools do.
enum Step: String, CaseIterable, Codable, Sendable {
    case open
    case first
    case unchanged
    case changed
    case restore
    case check
    case prune

    /// As they are done: opening is measured on a repository with something in it.
    static let inOrder: [Step] = [.first, .open, .unchanged, .changed, .restore, .check, .prune]
}

/// One of the tools, in a folder of its own for one pair.
struct Tool: Sendable {
    enum Kind: String, CaseIterable, Codable, Sendable {
        case holdfast
        case restic
        case borg
    }

    /// Of the repositories here. It has the form that Holdfast's own have, and protects nothing.
    static let password = String(repeating: "0123456789abcdef", count: 4)

    let kind: Kind
    let executable: String
    /// Holds repository, cache and restored files.
    let place: String

    var repository: String { "\(place)/repository" }
    var restoreFolder: String { "\(place)/restored" }

    /// Where the restored corpus lies.
    func restored(_ data: String) -> String { kind == .holdfast ? restoreFolder : "\(restoreFolder)\(data)" }

    /// What makes the repository; nil if our engine does.
    var initialisation: MeasuredProcess? {
        kind == .borg ? process(["init", "--encryption", "repokey", repository]) : nil
    }

    /// The processes that do a step on a corpus' data, one after the other.
    func processes(_ step: Step, data: String) -> [MeasuredProcess] {
        switch kind {
        case .holdfast: [process(ours(step, data))]
        case .restic: [process(restic(step, data))]
        case .borg: borg(step, data)
        }
    }

    /// - Parameter directory: where it is started; `env` becomes the tool, and costs next to nothing.
    private func process(_ arguments: [String], in directory: String? = nil) -> MeasuredProcess {
        let prefix = directory.map { ["--chdir=\($0)", executable] } ?? []
        return MeasuredProcess(
            executable: directory == nil ? executable : "env", arguments: prefix + arguments,
            environment: [
                "HOLDFAST_BENCH_PASSWORD": Self.password, "RESTIC_PASSWORD": Self.password,
                "RESTIC_CACHE_DIR": "\(place)/cache", "RESTIC_REPOSITORY": repository,
                "BORG_REPO": repository, "BORG_PASSPHRASE": Self.password, "BORG_BASE_DIR": "\(place)/base",
            ],
            log: "\(place)/log")
    }

    private func ours(_ step: Step, _ data: String) -> [String] {
        switch step {
        case .open: ["engine", "open", repository]
        case .first, .unchanged, .changed: ["engine", "backup", repository, data]
        case .restore: ["engine", "restore", repository, restoreFolder]
        case .check: ["engine", "check", repository]
        case .prune: ["engine", "prune", repository]
        }
    }

    private func restic(_ step: Step, _ data: String) -> [String] {
        switch step {
        case .open: ["snapshots", "--quiet"]
        case .first, .unchanged, .changed: ["backup", "--quiet", "--host", "bench", data]
        case .restore: ["restore", "latest", "--quiet", "--target", restoreFolder]
        case .check: ["check", "--quiet", "--read-data"]
        case .prune: ["forget", "--quiet", "--keep-last", "1", "--prune"]
        }
    }

    private func borg(_ step: Step, _ data: String) -> [MeasuredProcess] {
        switch step {
        case .open: [process(["list"])]
        case .first, .unchanged, .changed:
            [process(["create", "--compression", "zstd,3", "::\(step.rawValue)", data])]
        case .restore: [process(["extract", "::changed"], in: restoreFolder)]
        case .check: [process(["check", "--verify-data"])]
        case .prune: [process(["prune", "--keep-last", "1"]), process(["compact"])]
        }
    }
}
