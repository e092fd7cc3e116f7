import CHoldfastFiles
import Foundation
import Glibc
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

@Suite(.serialized) struct FidelityTests {
    /// Writes bytes at places of a file of that size, with nothing in between.
    private func makeSparse(_ path: String, size: Int, data: [(Int, [UInt8])]) throws {
        let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o644)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        try #require(ftruncate(descriptor, off_t(size)) == 0)
        for (offset, bytes) in data {
            try #require(pwrite(descriptor, bytes, bytes.count, off_t(offset)) == bytes.count)
        }
    }

    @Test func `holes are stored as the zeros that they read as, cut as if they were read`() throws {
        let directory = try ScratchFolder()
        var generator = SeededGenerator(seed: 101)
        let test = try TestRepository(directory)
        let size = (150 << 20) + 12345
        let layouts: [[(Int, [UInt8])]] = [
            [], [(0, generator.bytes(3 << 20))], [(70 << 20, generator.bytes(20 << 20))],
            [((9 << 20) + 777, generator.bytes(100)), (60 << 20, generator.bytes(1 << 20)), (size - 1, [7])],
        ]
        for (number, layout) in layouts.enumerated() {
            let sparse = directory("sparse-\(number)")
            try makeDirectory(sparse)
            try makeSparse(sparse + "/file", size: size, data: layout)
            let first = try test.backUp(sparse).finished
            // The same bytes without holes are nothing new: every chunk has been there.
            let dense = directory("dense-\(number)")
            try makeDirectory(dense)
            try writeFile(dense + "/file", Array(try Data(contentsOf: URL(fileURLWithPath: sparse + "/file"))))
            let second = try test.backUp(dense).finished
            #expect(second.addedBytes < 4096, "layout \(number)")
            #expect(first.logicalBytes == second.logicalBytes)
            #expect(try test.restore(first.id, to: "out-\(number)").problems == [])
            let diff = try run("/usr/bin/cmp", sparse + "/file", directory("out-\(number)/file"))
            #expect(diff == 0, "layout \(number)")
            for path in [sparse, dense, directory("out-\(number)")] {
                try FileManager.default.removeItem(atPath: path)
            }
        }
        try test.restic.check()
    }

    @Test func `a file of 1 TiB that is nearly all hole is backed up, listed by restic, and restored with its holes`()
        throws
    {
        let directory = try ScratchFolder()
        let test = try TestRepository(directory)
        try makeDirectory(directory("data"))
        try makeSparse(directory("data/huge"), size: 1 << 40, data: [(1 << 39, Array("here".utf8))])
        let finished = try test.backUp(directory("data")).finished
        #expect(finished.logicalBytes == 1 << 40 && finished.addedBytes < 16 << 20)
        let listing = try test.restic.expect("ls", "--json", "latest", "/data")
        #expect(listing.contains("\"size\":\(1 << 40)"))
        let dump = try test.repository.list(finished.id, path: "/data")
        #expect(dump.map(\.size) == [1 << 40])

        #expect(try test.restore(finished.id, to: "out").problems == [])
        let descriptor = open(directory("out/huge"), O_RDONLY)
        defer { close(descriptor) }
        var status = stat()
        try #require(fstat(descriptor, &status) == 0)
        #expect(status.st_size == 1 << 40 && status.st_blocks * 512 < 64 << 20)
        var found = [UInt8](repeating: 1, count: 8)
        #expect(pread(descriptor, &found, 8, (1 << 39) - 2) == 8)
        #expect(found == [0, 0] + Array("here".utf8) + [0, 0])
    }

    private func run(_ program: String, _ arguments: String...) throws -> Int32 {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus
    }

    /// `user:12345:rw-` and a mask, in the binary form of acl(5): version 2, then tag, permissions and id.
    private static let list: [UInt8] = {
        var bytes: [UInt8] = [2, 0, 0, 0]
        let entries: [(tag: UInt16, permissions: UInt16, id: UInt32)] = [
            (1, 7, .max), (2, 6, 12345), (4, 5, .max), (0x10, 7, .max), (0x20, 0, .max),
        ]
        for entry in entries {
            withUnsafeBytes(of: entry.tag.littleEndian) { bytes += Array($0) }
            withUnsafeBytes(of: entry.permissions.littleEndian) { bytes += Array($0) }
            withUnsafeBytes(of: entry.id.littleEndian) { bytes += Array($0) }
        }
        return bytes
    }()

    @Test func `access lists and sockets are treated as restic treats them, in both directions`() throws {
        let directory = try ScratchFolder()
        try makeDirectory(directory("data/folder"))
        try writeFile(directory("data/file"), "text")
        var mayUseLists = true
        for (name, kind) in [("file", "access"), ("folder", "access"), ("folder", "default")] {
            let result = holdfast_lsetxattr(
                directory("data/\(name)"), "system.posix_acl_\(kind)", Self.list, Self.list.count)
            // Where the file system has no access lists there is nothing to lose.
            if result != 0 { mayUseLists = false }
        }
        let socket = try listen(directory("data/socket"))
        defer { close(socket) }
        let test = try TestRepository(directory)
        let id = try test.backUp(directory("data")).finished.id
        #expect(try test.restore(id, to: "ours").problems == [])
        try test.restic.expect("restore", "latest", "--target", directory("theirs"))
        try expectSame(directory("data"), directory("ours"))
        try expectSame(directory("data"), directory("theirs/data"))
        if mayUseLists {
            let found = try facts(of: directory("ours"))[Array("file".utf8)]?.attributes["system.posix_acl_access"]
            #expect(found == Self.list)
        }
        try test.restic.expect("backup", directory("data"))
        let other = try #require(try test.repository.snapshots().first { $0.id != id })
        #expect(
            try test.repository.restore(TreePath(other.id, path: directory("data")), to: directory("back")).problems
                == [])
        try expectSame(directory("data"), directory("back"))
        let names = try test.repository.list(id, path: "/data").map(\.path)
        let theirNames = try test.repository.list(other.id, path: directory("data")).map(\.path)
        #expect(
            names.map { ($0 as NSString).lastPathComponent } == theirNames.map { ($0 as NSString).lastPathComponent })
    }

    private func listen(_ path: String) throws -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        try withUnsafeMutableBytes(of: &address.sun_path) { target in
            try #require(path.utf8.count < target.count)
            target.copyBytes(from: path.utf8)
        }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(result == 0)
        return descriptor
    }
}
