import Foundation
import HoldfastEnvironments
import HoldfastModel

/// Which commit of each branch was handed to a deployment last.
///
/// It outlives the environment: the branch of one that was deleted is not a push that was missed.
struct HandledPushes: Sendable {
    private let file: String
    /// Hooks come on threads of their own.
    private static let lock = NSLock()

    init(home: StateDirectory, project: ProjectID) { file = "\(home.path)/projects/\(project)/handled-pushes.json" }

    /// Branch -> commit; empty if nothing was ever pushed.
    func read() throws -> [String: String] {
        guard let bytes = try DurableFile.read(file) else { return [:] }
        return try JSONDecoder().decode([String: String].self, from: Data(bytes))
    }

    func note(_ branch: String, _ commit: String) throws {
        Self.lock.lock()
        defer { Self.lock.unlock() }
        var handled = try read()
        handled[branch] = commit
        try DurableFile.write(Array(try JSONEncoder().encode(handled)), to: file)
    }
}
