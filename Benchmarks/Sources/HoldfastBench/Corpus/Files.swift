import Foundation

/// The few things that are done with files and folders here.
enum Files {
    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    static func remove(_ path: String) throws {
        if exists(path) { try FileManager.default.removeItem(atPath: path) }
    }

    /// Takes a tree out of the way without removing any of its files: its folder gets another name, and the files lose
    /// their bytes. ext4 does not use the inode of a file again for minutes after it was removed, and whoever makes
    /// files meanwhile looks at every such inode, each time: the tool that restores next would pay for it.
    ///
    /// - Parameter folder: where such trees are kept; the caller removes it when nothing is measured any more.
    static func setAside(_ directory: String, in folder: String) throws {
        try makeDirectory(folder)
        let aside = "\(folder)/\(UUID().uuidString)"
        guard rename(directory, aside) == 0 else { throw BenchError("cannot rename '\(directory)' (errno \(errno))") }
        for name in list(aside) where truncate("\(aside)/\(name)", 0) != 0 {
            throw BenchError("cannot empty '\(aside)/\(name)' (errno \(errno))")
        }
    }

    static func makeDirectory(_ path: String) throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    /// Folders on the way are made. A file that is there keeps its inode.
    static func write(_ bytes: [UInt8], to path: String) throws {
        let parent = (path as NSString).deletingLastPathComponent
        if !exists(parent) { try makeDirectory(parent) }
        try OutputFile(path).write(bytes)
    }

    /// Regular files below a folder, as paths relative to it, sorted.
    static func list(_ directory: String) -> [String] {
        guard let entries = FileManager.default.enumerator(atPath: directory) else { return [] }
        var files: [String] = []
        while let name = entries.nextObject() as? String {
            if entries.fileAttributes?[.type] as? FileAttributeType == .typeRegular { files.append(name) }
        }
        return files.sorted()
    }

    /// Exchanges each file below a folder with that of the same path below another one.
    static func exchangeTree(_ one: String, with other: String) throws {
        for name in list(one) {
            let aside = "\(one)/\(name).aside"
            guard rename("\(other)/\(name)", aside) == 0, rename("\(one)/\(name)", "\(other)/\(name)") == 0,
                rename(aside, "\(one)/\(name)") == 0
            else { throw BenchError("cannot exchange '\(name)' (errno \(errno))") }
        }
    }

    /// Sum of the sizes of all files below a folder.
    static func size(_ directory: String) -> Int64 {
        list(directory).reduce(0) { sum, name in
            var status = stat()
            return lstat("\(directory)/\(name)", &status) == 0 ? sum + Int64(status.st_size) : sum
        }
    }

    /// Reads everything once, so that it lies in the page cache.
    static func warm(_ directory: String) {
        for name in list(directory) {
            guard let input = FileHandle(forReadingAtPath: "\(directory)/\(name)") else { continue }
            while let part = try? input.read(upToCount: 1 << 20), !part.isEmpty {}
            try? input.close()
        }
    }

    /// - Throws: naming the first file that differs.
    static func requireEqual(_ one: String, _ other: String) throws {
        let names = list(one)
        guard names == list(other) else { throw BenchError("'\(one)' and '\(other)' do not hold the same files") }
        for name in names {
            guard FileManager.default.contentsEqual(atPath: "\(one)/\(name)", andPath: "\(other)/\(name)") else {
                throw BenchError("'\(name)' differs between '\(one)' and '\(other)'")
            }
        }
    }
}

/// A file that is written from its beginning, or from its end on.
final class OutputFile {
    private let descriptor: Int32
    private let path: String

    init(_ path: String, isAppending: Bool = false) throws {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (isAppending ? O_APPEND : O_TRUNC), 0o644)
        guard descriptor >= 0 else { throw BenchError("cannot write '\(path)' (errno \(errno))") }
    }

    deinit { close(descriptor) }

    func write(_ bytes: [UInt8]) throws {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                Foundation.write(descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done)
            }
            guard count > 0 else { throw BenchError("cannot write '\(path)' (errno \(errno))") }
            done += count
        }
    }
}

/// What ends a run.
struct BenchError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
