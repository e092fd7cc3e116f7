import Foundation
import HoldfastEnvironments
import HoldfastModel

/// A folder for one test with a bare repository, and a way to put commits into it. Removed with the value.
final class GitScratch {
    let folder: String
    let repository: GitRepository
    private var work: String { "\(folder)/checkout" }

    init() throws {
        // Directly below /tmp: the users that builds run as have to reach it.
        folder = "/tmp/holdfast-config-\(UInt64.random(in: 0...UInt64.max))"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o711])
        repository = try GitRepository.create(path: "\(folder)/repository.git", defaultBranch: "main")
        try FileManager.default.createDirectory(atPath: "\(folder)/checkout", withIntermediateDirectories: true)
        try git(["init", "--quiet", "--initial-branch=main", "."])
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    /// Writes a file into the checkout.
    func write(_ path: String, _ text: String, executable: Bool = false) throws {
        let file = "\(work)/\(path)"
        try FileManager.default.createDirectory(
            atPath: (file as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try Data(text.utf8).write(to: URL(fileURLWithPath: file))
        try FileManager.default.setAttributes([.posixPermissions: executable ? 0o755 : 0o644], ofItemAtPath: file)
    }

    func link(_ path: String, to target: String) throws {
        try FileManager.default.createSymbolicLink(atPath: "\(work)/\(path)", withDestinationPath: target)
    }

    /// Commits everything in the checkout, and brings it into the bare repository as a branch.
    @discardableResult
    func commit(_ subject: String = "Change", branch: String = "main") throws -> String {
        try git(["add", "--all", "--force", "."])
        try git(["commit", "--quiet", "--allow-empty", "--message", subject])
        return try repository.fetch(from: work, branch: "main", as: branch)
    }

    /// Runs git in the checkout; returns what it printed.
    @discardableResult
    func git(_ arguments: [String], expectFailure: Bool = false) throws -> String {
        let specification = ProcessSpecification(
            executable: "git", arguments: arguments,
            environment: [
                "PATH": "/usr/bin:/bin", "HOME": folder, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C",
                "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "A",
                "GIT_COMMITTER_EMAIL": "a@b", "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory",
                "GIT_CONFIG_VALUE_0": "*",
            ], directory: work)
        let outcome = try ProcessRunner().run(
            specification, options: ProcessOptions(timeout: .seconds(60), mergesErrors: true))
        guard outcome.isSuccess != expectFailure else {
            throw HoldfastError(.system, "git \(arguments.joined(separator: " ")): \(outcome.text)")
        }
        return outcome.text.trimmingCharacters(in: .newlines)
    }
}

/// The code and message of the error that a call ends with; nil if it ends well.
func holdfastError<T>(_ call: () throws -> T) -> HoldfastError? {
    do {
        _ = try call()
        return nil
    } catch {
        return error as? HoldfastError
    }
}
