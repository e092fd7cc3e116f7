import Foundation
import HoldfastBackup
import HoldfastCatalogue
import HoldfastEnvironments
import HoldfastModel

/// The making of a project: its row in the catalogue, its Git repository, its backup repository.
///
/// A file beside them says that it is under way, so that the next start goes on with what a crash cut short, and with
/// nothing else: a repository that is missing for another reason is one that was lost.
struct UnfinishedProject {
    let project: Project
    let catalogue: Catalogue
    let house: House
    let home: StateDirectory
    let hooks: PushHooks

    private var mark: String { home.unfinishedMark(project.id) }

    /// Makes it; if anything fails, nothing of it stays. If not even that can be done, it is left for the next start to
    /// finish.
    ///
    /// - Parameter record: makes the row.
    func begin(record: () throws -> Void) throws {
        let directory = home.gitDirectory(project.id)
        let wasThere = FileManager.default.fileExists(atPath: directory)
        // Of a project that is there: not ours to take away.
        let wasMarked = FileManager.default.fileExists(atPath: mark)
        if !wasMarked { try home.writePrivate("", to: mark) }
        do {
            try record()
        } catch {
            if !wasMarked { unlink(mark) }
            throw error
        }
        do {
            // A repository that is there already has somebody's code in it.
            try makeGit { try GitRepository.create(path: $0, defaultBranch: project.defaultBranch) }
            try house.repositories.create(project.id)
        } catch {
            do { try catalogue.removeProject(project.id) } catch let second {
                house.logger.error(
                    "a project that could not be made stays until the next start, which finishes it",
                    metadata: ["project": "\(project.id)", "error": "\(second)"])
                throw error
            }
            // What was made here and has never held anything; else the id could not be used again.
            if !wasThere { try? FileManager.default.removeItem(atPath: directory) }
            unlink(mark)
            throw error
        }
        unlink(mark)
    }

    /// Whether a crash cut it short. Without a password, nothing can ever have been stored.
    func isLeft() throws -> Bool {
        if FileManager.default.fileExists(atPath: mark) { return true }
        return try catalogue.sealedRepositoryPassword(project.id) == nil
    }

    /// Goes on where it was cut short.
    func finish() throws {
        try makeGit { directory in
            FileManager.default.fileExists(atPath: directory)
                ? GitRepository(path: directory)
                : try GitRepository.create(path: directory, defaultBranch: project.defaultBranch)
        }
        try house.repositories.finish(project.id)
        unlink(mark)
    }

    private func makeGit(_ repository: (_ directory: String) throws -> GitRepository) throws {
        let directory = home.gitDirectory(project.id)
        try FileManager.default.createDirectory(
            atPath: (directory as NSString).deletingLastPathComponent, withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        try hooks.install(in: try repository(directory), project: project.id)
    }
}
