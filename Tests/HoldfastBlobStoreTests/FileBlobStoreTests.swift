import Foundation
import HoldfastBlobStore
import HoldfastModel
import HoldfastTestSupport
import Testing

@Suite struct FileBlobStoreTests {
    private let folder: ScratchFolder
    private let store: FileBlobStore
    private var root: String { store.root }

    init() throws {
        folder = try ScratchFolder()
        store = try FileBlobStore.create(root: folder.path + "/repository")
    }

    @Test func `objects lie where restic looks for them, readable by their owner only`() throws {
        for kind in BlobKind.allCases where kind.isOfRestic { try store.put(BlobSamples.name(kind, 1), [1, 2, 3]) }
        let hash = BlobSamples.name(.data, 1).name
        let expected: Set = [
            "config", "keys/\(hash)", "locks/\(hash)", "snapshots/\(hash)", "index/\(hash)",
            "data/\(hash.prefix(2))/\(hash)",
        ]
        var files: Set<String> = []
        for path in try FileManager.default.subpathsOfDirectory(atPath: root) {
            let attributes = try FileManager.default.attributesOfItem(atPath: root + "/" + path)
            let isFolder = attributes[.type] as? FileAttributeType == .typeDirectory
            #expect(attributes[.posixPermissions] as? Int == (isFolder ? 0o700 : 0o600), "\(path)")
            if !isFolder { files.insert(path) }
        }
        #expect(files == expected)
        #expect(try FileManager.default.contentsOfDirectory(atPath: root + "/data").count == 256)
    }

    @Test(arguments: [1 << 20, 1 << 20 | 1, 5 << 20 | 4095, 5 << 20 | 4096], [0, 8])
    func `large objects of any length come back, wherever they lie in memory`(_ length: Int, _ offset: Int) throws {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: offset + length, alignment: 4096)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 0)
        for index in stride(from: 0, to: memory.count, by: 509) {
            memory[index] = UInt8(truncatingIfNeeded: index / 509)
        }
        let bytes = UnsafeRawBufferPointer(rebasing: memory[offset...])
        let name = BlobSamples.name(.data, 7)
        try store.put(name, bytes)
        #expect(try store.size(name) == length)
        #expect(try store.get(name).elementsEqual(bytes))
    }

    @Test func `a missing root is unavailable in every call, and is not made`() throws {
        let name = BlobSamples.name(.data, 1)
        try store.put(name, [1])
        try FileManager.default.removeItem(atPath: root)
        expectAbsent(name)
        expectAbsent(.config)
        expectAbsent(BlobSamples.name(.key, 1))
        #expect(!FileManager.default.fileExists(atPath: root))
        #expect(store.device() == nil)
    }

    @Test func `an empty folder in the root's place, such as a bare mount point, is unavailable`() throws {
        try FileManager.default.removeItem(atPath: root)
        try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: false)
        expectAbsent(BlobSamples.name(.data, 1))
        expectAbsent(.config)
        expectAbsent(BlobSamples.name(.snapshot, 1))
        #expect(try FileManager.default.contentsOfDirectory(atPath: root).isEmpty)
    }

    private func expectAbsent(_ name: BlobName) {
        expectFailure(.unavailable) { try store.put(name, [1]) }
        expectFailure(.unavailable) { try store.get(name) }
        expectFailure(.unavailable) { try store.get(name, range: 0..<1) }
        expectFailure(.unavailable) { try store.size(name) }
        expectFailure(.unavailable) { try store.list(name.kind) }
        expectFailure(.unavailable) { try store.delete(name) }
    }

    @Test func `a root that is removed while threads write makes them fail, and stays away`() throws {
        let root = root
        let store = store
        let outcome = Concurrently.run(threads: 4) { thread in
            for number in 0..<400 as Range<UInt64> {
                if thread == 0 && number == 20 {
                    try FileManager.default.moveItem(atPath: root, toPath: root + "-away")
                }
                try store.put(
                    BlobSamples.name(.data, number + 1000 * UInt64(thread)), BlobSamples.bytes(3000, seed: number))
            }
        }
        #expect(outcome.count == 4)
        #expect(outcome.allSatisfy { $0.contains("there is no repository in") }, "\(outcome)")
        #expect(!FileManager.default.fileExists(atPath: root))
        for entry in try FileBlobStore(root: root + "-away").list(.data) { #expect(entry.size == 3000) }
    }

    @Test func `folders that another tool left out are made for a put, and count as empty before`() throws {
        let name = BlobSamples.name(.data, 1)
        try FileManager.default.removeItem(atPath: "\(root)/data/\(name.name.prefix(2))")
        try FileManager.default.removeItem(atPath: root + "/locks")
        #expect(try store.list(.lock) == [])
        expectFailure(.notFound) { try store.get(name) }
        try store.put(name, [1, 2])
        try store.put(BlobSamples.name(.lock, 1), [3])
        #expect(try store.get(name) == [1, 2])
        #expect(try store.list(.lock).count == 1)
    }

    @Test func `files that are no objects are in no listing and stay`() throws {
        try store.put(BlobSamples.name(.index, 1), [1])
        for path in ["index/README", "index/\(String(repeating: "A", count: 64))", "data/00/x-tmp-1", "data/junk"] {
            try Data([9]).write(to: URL(fileURLWithPath: root + "/" + path))
        }
        let hash = BlobSamples.name(.index, 2).name
        try FileManager.default.createDirectory(atPath: "\(root)/index/\(hash)", withIntermediateDirectories: false)
        try FileManager.default.createSymbolicLink(
            atPath: "\(root)/index/\(BlobSamples.name(.index, 3).name)", withDestinationPath: "/etc/passwd")
        #expect(try store.list(.index).map(\.name) == [BlobSamples.name(.index, 1)])
        #expect(try store.list(.data) == [])
        #expect(FileManager.default.fileExists(atPath: root + "/data/00/x-tmp-1"))
    }

    @Test func `a link or a pipe in an object's place is damage, and is not followed`() throws {
        let link = BlobSamples.name(.index, 1)
        try FileManager.default.createSymbolicLink(
            atPath: "\(root)/\(link.path)", withDestinationPath: "/etc/passwd")
        let pipe = BlobSamples.name(.index, 2)
        #expect(mkfifo("\(root)/\(pipe.path)", 0o600) == 0)
        for name in [link, pipe] {
            expectFailure(.damaged) { try store.get(name) }
            expectFailure(.damaged) { try store.size(name) }
            try store.put(name, [1, 2, 3])
            #expect(try store.get(name) == [1, 2, 3])
        }
        #expect(try String(contentsOfFile: "/etc/passwd", encoding: .utf8).contains("root"))
    }

    @Test func `what a killed writer left behind is invisible and removed, what is being written stays`() throws {
        let hash = BlobSamples.name(.data, 1).name
        let left = "\(root)/data/\(hash.prefix(2))/.\(hash)-77.holdfast-tmp"
        let busy = "\(root)/snapshots/.\(hash)-78.holdfast-tmp"
        for path in [left, busy, root + "/.-79.holdfast-tmp"] {
            try Data(count: 100).write(to: URL(fileURLWithPath: path))
        }
        let writer = open(busy, O_WRONLY)
        defer { close(writer) }
        #expect(flock(writer, LOCK_EX) == 0)
        #expect(try store.list(.data) == [])
        #expect(!FileManager.default.fileExists(atPath: left))
        #expect(try store.list(.snapshot) == [])
        #expect(try store.removeLeftovers() == 1)
        #expect(FileManager.default.fileExists(atPath: busy))
    }

    @Test func `a put that fails leaves no temporary file`() throws {
        let name = BlobSamples.name(.snapshot, 1)
        // A folder in the object's place: the rename fails after everything was written.
        try FileManager.default.createDirectory(
            atPath: "\(root)/\(name.path)/inside", withIntermediateDirectories: true)
        expectFailure(.system) { try store.put(name, BlobSamples.bytes(1000, seed: 1)) }
        #expect(try FileManager.default.contentsOfDirectory(atPath: root + "/snapshots") == [name.name])
    }

    @Test(.enabled(if: geteuid() == 0 && Tmpfs.isPossible, "needs root and tmpfs"))
    func `a full disk is no space, leaves nothing behind, and all works again when there is room`() throws {
        let disk = try Tmpfs(mountedAt: folder.path + "/disk", bytes: 3 << 20)
        let store = try FileBlobStore.create(root: folder.path + "/disk/repository")
        #expect(store.device() != self.store.device())
        let first = BlobSamples.name(.data, 1)
        try store.put(first, BlobSamples.bytes(1 << 20, seed: 1))
        let second = BlobSamples.name(.data, 2)
        expectFailure(.noSpace) { try store.put(second, BlobSamples.bytes(4 << 20, seed: 2)) }
        #expect(try store.list(.data).map(\.name) == [first])
        #expect(try store.removeLeftovers() == 0)
        try store.put(second, BlobSamples.bytes(1 << 20, seed: 2))
        #expect(try store.get(first) == BlobSamples.bytes(1 << 20, seed: 1))
        withExtendedLifetime(disk) {}
    }

    @Test func `creating twice keeps what is there, and a folder with other things is refused`() throws {
        try store.put(.config, [1, 2, 3])
        _ = try FileBlobStore.create(root: root)
        #expect(try store.get(.config) == [1, 2, 3])
        let other = folder.path + "/other"
        try FileManager.default.createDirectory(atPath: other + "/photos", withIntermediateDirectories: true)
        expectFailure(.conflict) { try FileBlobStore.create(root: other) }
        #expect(try FileManager.default.contentsOfDirectory(atPath: other) == ["photos"])
    }

    @Test func `creating makes folders only inside of one that is there`() throws {
        let site = folder.path + "/site"
        expectFailure(.unavailable) { try FileBlobStore.create(root: site + "/projects/p", inside: site) }
        #expect(!FileManager.default.fileExists(atPath: site))
        try FileManager.default.createDirectory(atPath: site, withIntermediateDirectories: false)
        expectFailure(.unavailable) { try FileBlobStore.create(root: site + "/projects/p") }
        let store = try FileBlobStore.create(root: site + "/projects/p", inside: site)
        try store.put(.config, [1])
        expectFailure(.invalidInput) { try FileBlobStore.create(root: "relative/path") }
        expectFailure(.invalidInput) { try FileBlobStore.create(root: site + "/../x", inside: site) }
        expectFailure(.invalidInput) { try FileBlobStore.create(root: folder.path + "/else", inside: site) }
    }

    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/restic"), "needs restic"))
    func `a repository of restic copied object by object is one that restic accepts`() throws {
        let original = folder.path + "/original"
        let source = folder.path + "/source"
        try FileManager.default.createDirectory(atPath: source, withIntermediateDirectories: false)
        let bytes = BlobSamples.bytes(3 << 20, seed: 5)
        try Data(bytes).write(to: URL(fileURLWithPath: source + "/file"))
        #expect(try restic(["-r", original, "init"]) == 0)
        #expect(try restic(["-r", original, "backup", source]) == 0)
        let from = FileBlobStore(root: original)
        for kind in BlobKind.allCases {
            for entry in try from.list(kind) {
                let object = try from.get(entry.name)
                #expect(object.count == entry.size)
                try store.put(entry.name, object)
            }
        }
        #expect(try store.list(.snapshot).count == 1)
        #expect(try restic(["-r", root, "check", "--read-data"]) == 0)
        #expect(try restic(["-r", root, "restore", "latest", "--target", folder.path + "/restored"]) == 0)
        let restored = try Data(contentsOf: URL(fileURLWithPath: folder.path + "/restored" + source + "/file"))
        #expect(Array(restored) == bytes)
    }

    private func restic(_ arguments: [String]) throws -> Int32 {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/restic")
        process.arguments = ["-q", "--no-cache"] + arguments
        process.environment = ["RESTIC_PASSWORD": "test", "PATH": "/usr/bin:/bin", "HOME": folder.path]
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus
    }
}

/// A small file system in memory, unmounted with the value.
private final class Tmpfs {
    private let path: String

    init(mountedAt path: String, bytes: Int) throws {
        self.path = path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        guard mount("tmpfs", path, "tmpfs", 0, "size=\(bytes)") == 0 else {
            throw HoldfastError(.system, "cannot mount tmpfs: \(errno)")
        }
    }

    deinit { umount2(path, Int32(MNT_DETACH)) }

    static var isPossible: Bool {
        guard let folder = try? ScratchFolder() else { return false }
        return (try? Tmpfs(mountedAt: folder.path + "/try", bytes: 1 << 20)) != nil
    }
}
