import Foundation
import HoldfastModel

/// What a copy of a data directory holds, as a file in it: the pre-copy may have more, and must not have less.
package struct FileList: Codable, Equatable {
    package static let name = "holdfast-files.json"
    private static let limit = 256 << 20

    var version = 1
    /// Path relative to the data directory -> bytes.
    var files: [String: Int64]
    /// Path -> permission bits.
    var directories: [String: Int]

    package init(files: [String: Int64], directories: [String: Int]) {
        self.files = files
        self.directories = directories
    }

    package func encoded() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(self))
    }

    /// Makes restored data exactly what the list says, and takes the list out of it.
    ///
    /// Harmless when called again: the list lies in the configuration directory then.
    ///
    /// - Throws: `damaged` if the list or something that it names is missing or has another size.
    package static func apply(to instance: ServiceInstance) throws {
        let root = try GuardedDirectory.make(instance.directory, mode: 0o755)
        let conf = try root.makeDirectory("conf", mode: 0o755)
        let data = try root.directory("data")
        if try data.status(name) != nil {
            try conf.write(name, data.read(name, limit: limit), mode: 0o600)
            try data.remove(name)
        }
        guard try conf.status(name) != nil else {
            throw HoldfastError(.damaged, "the backup of service '\(instance.name)' has no list of its files")
        }
        let list: FileList
        do {
            list = try JSONDecoder().decode(FileList.self, from: Data(conf.read(name, limit: limit)))
        } catch let error as DecodingError {
            throw HoldfastError(
                .damaged, "the list of files of service '\(instance.name)' cannot be read", cause: error)
        }
        guard list.version == 1 else {
            throw HoldfastError(
                .unsupported, "the list of files of service '\(instance.name)' has version \(list.version), known is 1",
                hint: "Use a newer holdfast")
        }
        var found: Set<String> = []
        try list.clean(data, "", &found)
        let missing = Set(list.files.keys).subtracting(found)
        if let path = missing.min() {
            throw HoldfastError(
                .damaged,
                "the backup of service '\(instance.name)' lacks \(missing.count) of \(list.files.count) files, "
                    + "the first is '\(path)'")
        }
        for (path, mode) in list.directories.sorted(by: { $0.key < $1.key }) {
            let parts = path.split(separator: "/").map(String.init)
            guard let last = parts.last else { continue }
            let parent = try parts.dropLast().reduce(data) { try $0.directory($1) }
            _ = try parent.makeDirectory(last, mode: mode_t(mode & 0o777))
        }
        try data.setMode(0o700)
        try data.giveAll(to: instance.user)
    }

    /// The list has done its work once the restored service was checked.
    static func forget(_ instance: ServiceInstance) throws {
        try GuardedDirectory(instance.configurationDirectory).remove(name)
    }

    /// Removes what the list does not name.
    private func clean(_ directory: GuardedDirectory, _ prefix: String, _ found: inout Set<String>) throws {
        for name in try directory.names() {
            let path = prefix + name
            guard let status = try directory.status(name) else { continue }
            if status.st_mode & S_IFMT == S_IFDIR, directories[path] != nil {
                try clean(try directory.directory(name), path + "/", &found)
            } else if status.st_mode & S_IFMT == S_IFREG, let size = files[path] {
                guard size == Int64(status.st_size) else {
                    throw HoldfastError(
                        .damaged, "'\(directory.path)/\(name)' has \(status.st_size) bytes, and had \(size) at the mark"
                    )
                }
                found.insert(path)
            } else {
                try directory.removeAll(name)
            }
        }
    }
}
