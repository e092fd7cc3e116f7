import ArgumentParser
import Foundation
import HoldfastBlobStore
import HoldfastCommands
import HoldfastModel
import HoldfastRepository

/// `repository init`
struct InitVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init", abstract: "Make a new repository.",
        discussion: """
            The folder must be new or empty. The password cannot be recovered: whoever loses it loses every backup.
            """)

    @OptionGroup var options: RepositoryOptions

    func run() throws {
        let surroundings = Surroundings.current
        let path = try options.path(surroundings)
        if FileManager.default.fileExists(atPath: path + "/config") {
            throw HoldfastError(.conflict, "there is a repository in \(path) already", hint: "Choose another folder")
        }
        if let interruption = RekeyPlaces.interruption(at: path) { throw interruption }
        let password = try options.passwordSource.read(surroundings, isNew: true)
        let parent = (path as NSString).deletingLastPathComponent
        try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
        let store = try FileBlobStore.create(root: path)
        let repository = try Repository.create(
            store: store, password: password, scrypt: .calibrated(surroundings.time), time: surroundings.time)
        if options.json {
            let shape = ["message_type": "initialized", "id": repository.id, "repository": path]
            return surroundings.output.out(try JSONText.line(shape))
        }
        if options.quiet { return }
        surroundings.output.out("Made the repository \(repository.id.prefix(10)) in \(path).\n")
        surroundings.output.out("Keep its password safe: without it nothing can be restored.\n")
    }
}
