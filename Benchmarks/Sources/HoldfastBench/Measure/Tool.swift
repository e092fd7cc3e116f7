import Foundation

/// What both tools do, in this order.
enum Step: String, CaseIterable, Sendable {
    case first
    case open
    case same
    case changed
    case restore
    case check
}

/// One of the two, in a folder of its own for one pair.
struct Tool: Sendable {
    enum Kind: String, CaseIterable, Sendable {
        case holdfast
        case restic
    }

    /// Of the repositories here. It has the form that Holdfast's own have, and protects nothing.
    static let password = String(repeating: "0123456789abcdef", count: 4)

    let kind: Kind
    let version: String
    let executable: String
    /// Holds repository, cache and restored files.
    let place: String

    var repository: String { "\(place)/repository" }

    /// Where the restored corpus lies.
    func restored(_ data: String) -> String { kind == .holdfast ? "\(place)/restored" : "\(place)/restored\(data)" }

    /// The process that does a step on a corpus' data.
    func process(_ step: Step, data: String) -> MeasuredProcess {
        MeasuredProcess(
            executable: executable, arguments: kind == .holdfast ? ours(step, data) : theirs(step, data),
            environment: [
                "HOLDFAST_BENCH_PASSWORD": Self.password, "RESTIC_PASSWORD": Self.password,
                "RESTIC_CACHE_DIR": "\(place)/cache", "RESTIC_REPOSITORY": repository,
            ],
            log: "\(place)/log")
    }

    private func ours(_ step: Step, _ data: String) -> [String] {
        switch step {
        case .open: ["engine", "open", repository]
        case .first, .same, .changed: ["engine", "backup", repository, data]
        case .restore: ["engine", "restore", repository, "\(place)/restored"]
        case .check: ["engine", "check", repository]
        }
    }

    private func theirs(_ step: Step, _ data: String) -> [String] {
        switch step {
        case .open: ["snapshots", "--quiet"]
        case .first, .same, .changed: ["backup", "--quiet", "--host", "bench", data]
        case .restore: ["restore", "latest", "--quiet", "--target", "\(place)/restored"]
        case .check: ["check", "--quiet", "--read-data"]
        }
    }
}
