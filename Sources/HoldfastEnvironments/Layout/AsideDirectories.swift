import Foundation
import HoldfastModel

extension CurrentState {
    /// All directories that the state names, relative to the environment's.
    package var directories: [String] {
        Array(apps.values) + services.values.map(\.directory) + mounts.values.flatMap(\.values)
    }
}

/// What is made beside the live data: on record from before it is there, so that a crash cannot leave it behind.
extension EnvironmentLayout {
    /// Directories of an activity that has not come to its end; relative to the environment's.
    package func readAside() throws -> [String] {
        guard let bytes = try DurableFile.read(asideFile) else { return [] }
        return try JSONDecoder().decode([String].self, from: Data(bytes))
    }

    func note(aside directory: String) throws { try note(aside: [directory]) }

    /// Puts directories on record that an activity makes, or that nobody needs once it has succeeded.
    package func note(aside directories: [String]) throws {
        // A list that cannot be read costs the space of what it named, and must not stop all that is new.
        let known = (try? readAside()) ?? []
        let new = directories.filter { !known.contains($0) }
        guard !new.isEmpty else { return }
        try writeAside(known + new)
    }

    /// Takes directories off the record, because they may be needed all the same.
    package func forget(aside directories: [String]) {
        guard !directories.isEmpty, let known = try? readAside() else { return }
        try? writeAside(known.filter { !directories.contains($0) })
    }

    private func writeAside(_ directories: [String]) throws {
        guard !directories.isEmpty else { return settleAside() }
        try DurableFile.write(Array(try JSONEncoder().encode(directories)), to: asideFile)
    }

    /// Deletes directories that no state of the environment needs: whatever `current.json` names, as what is live or as
    /// what was before, stays, whoever asks. A directory that cannot be deleted costs space, nothing else.
    ///
    /// - Throws: if the file cannot be read: then nothing is removed.
    package func removeUnnamed(_ directories: [String]) throws { _ = try remove(unnamed: directories) }

    /// - Returns: what was removed, and what could not be, with the first reason.
    private func remove(
        unnamed directories: [String]
    ) throws -> (removed: [String], left: [String], failure: (any Error)?) {
        let named = Set(try readStates().flatMap(\.directories))
        var (removed, left): ([String], [String]) = ([], [])
        var failure: (any Error)?
        for directory in directories where !named.contains(directory) {
            let path = try absolute(directory)
            for file in ["\(path).index", "\(path).index.lock"] { unlink(file) }
            guard FileTree.kind(of: path) != nil else { continue }
            do {
                try FileTree.remove(path)
                removed.append(directory)
            } catch {
                left.append(directory)
                failure = failure ?? error
            }
        }
        return (removed, left, failure)
    }

    /// The activity has failed: what it had begun goes, unless a state names it. If that cannot be told, everything
    /// stays for the next start to look at.
    package func discardAside() { _ = try? removeAside() }

    /// The activity has ended, and what it made is live or gone.
    package func settleAside() { unlink(asideFile) }

    /// After a crash: removes what is on record and what `current.json` does not name.
    ///
    /// - Returns: what was removed.
    /// - Throws: if one of the files cannot be read: then nothing is removed. If a directory cannot be removed: then
    ///   the others are, and it stays on record.
    @discardableResult
    package func removeAside() throws -> [String] {
        let aside = try readAside()
        guard !aside.isEmpty else { return [] }
        let (removed, left, failure) = try remove(unnamed: aside)
        try writeAside(left)
        if let failure { throw failure }
        return removed
    }

    /// Whether processes of the environment run, with or without a supervisor.
    package var hasProcesses: Bool {
        ProcessFile(path: processesFile).read().contains { $0.handle.isAlive }
            || !ProcessFile.marked(environment).isEmpty
    }
}
