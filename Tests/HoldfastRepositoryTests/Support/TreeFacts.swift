import CHoldfastFiles
import Foundation
import Glibc
import HoldfastModel
import Testing

/// Everything that a restore has to bring back of one entry.
struct EntryFacts: Hashable {
    var mode: UInt32
    var user: UInt32
    var group: UInt32
    var modified: [Int]
    var target: [UInt8] = []
    var content: [UInt8]?
    var device: UInt64 = 0
    var attributes: [String: [UInt8]] = [:]
    /// The first of all paths that lead to the same inode.
    var linkedTo: [UInt8]?
}

/// All entries below a directory by path, sockets left out.
func facts(of directory: String) throws -> [[UInt8]: EntryFacts] {
    var result: [[UInt8]: EntryFacts] = [:]
    var links: [UInt64: [UInt8]] = [:]
    var open: [[UInt8]] = [[]]
    while let path = open.popLast() {
        var status = stat()
        guard withPath(directory, path, { lstat($0, &status) }) == 0 else {
            throw HoldfastError(.system, "cannot look at \(String(decoding: path, as: UTF8.self))")
        }
        let kind = status.st_mode & S_IFMT
        if kind == S_IFSOCK { continue }
        var facts = EntryFacts(
            mode: status.st_mode, user: status.st_uid, group: status.st_gid,
            modified: [status.st_mtim.tv_sec, status.st_mtim.tv_nsec])
        facts.attributes = withPath(directory, path) { attributes($0) }
        if kind == S_IFCHR || kind == S_IFBLK { facts.device = UInt64(status.st_rdev) }
        if kind == S_IFLNK {
            var buffer = [CChar](repeating: 0, count: 4096)
            let size = withPath(directory, path) { readlink($0, &buffer, buffer.count) }
            facts.target = buffer[..<max(size, 0)].map { UInt8(bitPattern: $0) }
        }
        if kind == S_IFREG {
            facts.content = withPath(directory, path) { try? readAll($0) }
            if status.st_nlink > 1 {
                let first = links[UInt64(status.st_ino)].map { $0.lexicographicallyPrecedes(path) ? $0 : path } ?? path
                links[UInt64(status.st_ino)] = first
            }
        }
        result[path] = facts
        if kind == S_IFDIR {
            for name in names(in: directory, path) { open.append(path.isEmpty ? name : path + [47] + name) }
        }
    }
    for (path, var facts) in result where facts.content != nil {
        var status = stat()
        _ = withPath(directory, path) { lstat($0, &status) }
        facts.linkedTo = links[UInt64(status.st_ino)]
        result[path] = facts
    }
    return result
}

/// Fails the test with the first differences of two directories.
func expectSame(_ left: String, _ right: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
    try expectSame(facts(of: left), right, sourceLocation: sourceLocation)
}

func expectSame(
    _ expected: [[UInt8]: EntryFacts], _ directory: String, sourceLocation: SourceLocation = #_sourceLocation
) throws {
    let found = try facts(of: directory)
    #expect(!expected.isEmpty && expected.count > 1, "nothing to compare", sourceLocation: sourceLocation)
    var differences: [String] = []
    for path in Set(expected.keys).union(found.keys) where expected[path] != found[path] {
        let name = String(decoding: path, as: UTF8.self)
        differences.append("\(name): \(describe(expected[path])) became \(describe(found[path]))")
    }
    #expect(differences.isEmpty, "\(differences.sorted().prefix(5))", sourceLocation: sourceLocation)
}

private func describe(_ facts: EntryFacts?) -> String {
    guard var facts else { return "nothing" }
    let size = facts.content?.count
    facts.content = nil
    return "\(facts), \(size ?? 0) bytes"
}

private func names(in directory: String, _ path: [UInt8]) -> [[UInt8]] {
    guard let stream = withPath(directory, path, { opendir($0) }) else { return [] }
    defer { closedir(stream) }
    var names: [[UInt8]] = []
    while let entry = readdir(stream) {
        let name = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
        if name != [46] && name != [46, 46] { names.append(name) }
    }
    return names
}

private func readAll(_ path: UnsafePointer<CChar>) throws -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_NOFOLLOW)
    guard descriptor >= 0 else { throw HoldfastError(.system, "cannot open") }
    defer { close(descriptor) }
    var status = stat()
    fstat(descriptor, &status)
    var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
    var done = 0
    while done < bytes.count {
        let count = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress.map { $0 + done }, $0.count - done) }
        guard count > 0 else { break }
        done += count
    }
    return bytes
}

private func attributes(_ path: UnsafePointer<CChar>) -> [String: [UInt8]] {
    var names = [CChar](repeating: 0, count: 4096)
    let size = holdfast_llistxattr(path, &names, names.count)
    guard size > 0 else { return [:] }
    var result: [String: [UInt8]] = [:]
    for name in names[..<size].split(separator: 0) {
        var value = [UInt8](repeating: 0, count: 4096)
        let text = Array(name) + [0]
        let length = holdfast_lgetxattr(path, text, &value, value.count)
        result[String(decoding: name.map { UInt8(bitPattern: $0) }, as: UTF8.self)] = Array(value[..<max(length, 0)])
    }
    return result
}
