import ArgumentParser
import Foundation
import HoldfastModel
import HoldfastRepository

/// `repository cat`
struct CatVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cat", abstract: "Show one object as it is, opened.",
        discussion: "config; or snapshot, index, lock, key, blob or tree with an id.")

    @OptionGroup var options: RepositoryOptions
    @OptionGroup var reading: ReadingOptions

    @Argument(help: "What it is.")
    var kind: String

    @Argument(help: "Its id.")
    var id: String?

    func run() throws {
        let object: RawObject
        switch (kind, id) {
        case ("config", nil): object = .config
        case ("snapshot", let id?): object = .snapshot(id)
        case ("index", let id?): object = .index(id)
        case ("lock", let id?): object = .lock(id)
        case ("key", let id?): object = .key(id)
        case ("blob", let id?), ("tree", let id?): object = .blob(id)
        default:
            throw HoldfastError(
                .invalidInput, "'\(kind)' \(id == nil ? "without" : "with") an id is no object",
                hint: "Write 'config', or 'snapshot', 'index', 'lock', 'key', 'blob' or 'tree' with an id")
        }
        try options.reading(reading) { context in
            let bytes = try context.repository.rawBytes(of: object)
            let sink = FileSink()
            try bytes.withUnsafeBytes { try sink.write($0) }
            if bytes.first == UInt8(ascii: "{"), bytes.last != 10 {
                try [UInt8(10)].withUnsafeBytes { try sink.write($0) }
            }
        }
    }
}
