import ArgumentParser
import Foundation
import Glibc
import HoldfastCommands
import HoldfastModel
import HoldfastRepository

/// `repository dump`
struct DumpVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dump", abstract: "Write a file of a snapshot, or a directory as tar, to standard output.")

    @OptionGroup var options: RepositoryOptions
    @OptionGroup var reading: ReadingOptions
    @OptionGroup var filter: FilterOptions

    @Option(name: .shortAndLong, help: ArgumentHelp("Write into this file instead.", valueName: "file"))
    var target: String?

    @Argument(help: ArgumentHelp("Beginning of an id, or 'latest'.", valueName: "snapshot"))
    var snapshot: String

    @Argument(help: ArgumentHelp("File or directory of the snapshot.", valueName: "path"))
    var file: String

    func run() throws {
        try options.reading(reading) { context in
            let source = try SnapshotPath(snapshot, filter.filter(context.surroundings), context.repository)
            let path = source.path == "/" ? file : source.path + "/" + file
            guard let type = try context.repository.entryType(source.record.id, path: path) else {
                throw HoldfastError(.notFound, "there is no '\(path)' in snapshot \(source.record.shortID)")
            }
            let sink = try target.map { try FileSink(context.surroundings.absolute($0)) } ?? FileSink()
            if type == .directory {
                try context.repository.dumpTar(source.record.id, path: path) { try sink.write($0) }
            } else {
                try context.repository.dump(source.record.id, path: path) { try sink.write($0) }
            }
            try sink.finish()
        }
    }
}

/// Standard output, or a file that exists only when it is complete.
final class FileSink {
    private let descriptor: Int32
    private let paths: (temporary: String, final: String)?
    private var isFinished = false

    init() {
        descriptor = STDOUT_FILENO
        paths = nil
    }

    init(_ path: String) throws {
        let temporary = path + ".holdfast-\(getpid())"
        descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw HoldfastError(.system, "cannot make \(temporary): \(String(cString: strerror(errno)))")
        }
        paths = (temporary, path)
    }

    deinit {
        guard let paths else { return }
        close(descriptor)
        if !isFinished { unlink(paths.temporary) }
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while !rest.isEmpty {
            let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw HoldfastError(.system, "cannot write the dump: \(String(cString: strerror(errno)))")
            }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    func finish() throws {
        guard let paths else { return }
        guard fsync(descriptor) == 0, rename(paths.temporary, paths.final) == 0 else {
            throw HoldfastError(.system, "cannot write \(paths.final): \(String(cString: strerror(errno)))")
        }
        isFinished = true
    }
}
