import Foundation
import Glibc
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

@Suite(.serialized) struct DamageTests {
    private func flip(_ path: String, at offset: Int) throws {
        chmod(path, 0o600)
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
        defer { try? file.close() }
        try file.seek(toOffset: UInt64(offset))
        let byte = try #require(try file.read(upToCount: 1)?.first)
        try file.seek(toOffset: UInt64(offset))
        try file.write(contentsOf: [byte ^ 1])
    }

    @Test func `a flipped byte in a pack is found, and the restore names the file and brings back the others`() throws {
        let directory = try ScratchFolder()
        var generator = SeededGenerator(seed: 41)
        try makeDirectory(directory("data/d"))
        for number in 0..<20 { try writeFile(directory("data/d/f\(number)"), generator.bytes(50_000)) }
        let test = try TestRepository(directory)
        let finished = try test.backUp(directory("data")).finished
        let pack = try #require(try test.store.list(.data).max { $0.size < $1.size })
        try flip(test.path + "/" + pack.name.path, at: pack.size / 2)
        #expect(try test.repository.check(readData: false).problems == [])
        let check = try test.repository.check(readData: true)
        #expect(check.problems.count == 1 && check.problems.first?.object == pack.name.path)
        #expect(check.problems.first?.reason.contains("1 of") == true)
        #expect(try test.restic.run("check", "--read-data").status != 0)
        let report = try test.restore(finished.id, to: "out")
        #expect(report.problems.count == 1 && report.files == 19)
        let name = try #require(report.problems.first?.path)
        #expect(name.hasPrefix("d/f") && !FileManager.default.fileExists(atPath: directory("out/" + name)))
        for number in 0..<20 where "d/f\(number)" != name {
            let original = FileManager.default.contents(atPath: directory("data/d/f\(number)"))
            #expect(FileManager.default.contents(atPath: directory("out/d/f\(number)")) == original)
        }
    }

    @Test func `every kind of object that is damaged or missing is named by the check`() throws {
        let source = try ScratchFolder()
        var generator = SeededGenerator(seed: 42)
        try RandomTree.makeMany(source("data"), files: 20, using: &generator)
        for kind in [BlobKind.data, .index, .snapshot] {
            for isMissing in [true, false] {
                let directory = try ScratchFolder()
                let test = try TestRepository(directory)
                try test.backUp(source("data"))
                for entry in try test.store.list(kind) {
                    if isMissing {
                        try test.store.delete(entry.name)
                    } else {
                        try flip(test.path + "/" + entry.name.path, at: 20)
                    }
                }
                let opened = try Repository.open(store: test.store, password: TestRepository.password)
                let report = try opened.check(readData: true)
                if kind == .snapshot && isMissing {
                    #expect(report.snapshots == 0)
                } else {
                    #expect(!report.isIntact, "\(kind), missing: \(isMissing)")
                }
            }
        }
    }

    @Test func `a truncated pack is found without reading the data`() throws {
        let directory = try ScratchFolder()
        var generator = SeededGenerator(seed: 43)
        try RandomTree.makeMany(directory("data"), files: 20, using: &generator)
        let test = try TestRepository(directory)
        let finished = try test.backUp(directory("data")).finished
        let pack = try #require(try test.store.list(.data).max { $0.size < $1.size })
        chmod(test.path + "/" + pack.name.path, 0o600)
        truncate(test.path + "/" + pack.name.path, pack.size / 2)
        #expect(try test.repository.check(readData: false).problems.map(\.object) == [pack.name.path])
        let report = try test.restore(finished.id, to: "out")
        #expect(!report.isComplete && report.files > 0)
    }

    @Test func `a damaged directory is named, and the rest comes back`() throws {
        let directory = try ScratchFolder()
        let test = try TestRepository(directory)
        let session = try test.repository.beginBackup()
        try session.add(bytes: [1], as: "/good/file")
        let finished = try session.finish(TestRepository.info())
        let again = try test.repository.beginBackup()
        let missing = String(repeating: "ab", count: 32)
        let good = try test.restic.expect("ls", "--json", "\(finished.id)").contains("good")
        let tree = """
            {"nodes":[{"name":"bad","type":"dir","mode":2147484141,"mtime":"2026-01-01T00:00:00Z",\
            "atime":"2026-01-01T00:00:00Z","ctime":"2026-01-01T00:00:00Z","uid":0,"gid":0,"content":null,\
            "subtree":"\(missing)"},{"name":"empty","type":"file","mode":420,"mtime":"2026-01-01T00:00:00Z",\
            "atime":"2026-01-01T00:00:00Z","ctime":"2026-01-01T00:00:00Z","uid":0,"gid":0,"content":[]}]}
            """
        let id = try again.finish(rawTree: Array(tree.utf8), TestRepository.info())
        let report = try test.restore(id, path: "/", to: "out")
        #expect(good && report.files == 1 && report.problems.map(\.path) == ["bad"])
        #expect(FileManager.default.fileExists(atPath: directory("out/empty")))
    }

    @Test func `every prefix of a backup's writes leaves a repository that restic accepts`() throws {
        let directory = try ScratchFolder()
        var generator = SeededGenerator(seed: 44)
        try RandomTree.makeMany(directory("data"), files: 20, using: &generator)
        try writeFile(directory("data/large"), generator.bytes(34 << 20))
        let test = try TestRepository(directory)
        try makeDirectory(directory("first"))
        try writeFile(directory("first/file"), "first")
        let first = try test.backUp(directory("first")).finished
        var failures = 0
        for number in 1...30 {
            let faulty = FaultyBlobStore(test.store, script: [.diskFull(fromPut: number)])
            let repository = try Repository.open(
                store: faulty, password: TestRepository.password, time: LaterTime())
            do {
                try test.backUp(directory("data"), in: repository)
                break
            } catch let error as HoldfastError {
                #expect(error.code == .noSpace, "put \(number): \(error)")
                failures += 1
            }
            try test.restic.check()
            #expect(try test.repository.check(readData: true).problems == [])
            #expect(try test.repository.snapshots().map(\.id) == [first.id])
            #expect(try test.store.list(.lock).isEmpty)
        }
        #expect(failures >= 5, "lock, packs, index and snapshot were each tried")
        #expect(try test.repository.snapshots().count == 2)
        try test.restic.check()
        let last = try #require(try test.repository.snapshots().last)
        #expect(try test.restore(last.id, to: "out").problems == [])
        try expectSame(directory("data"), directory("out"))
    }

    @Test func `packs are durable before the index, and the index before the snapshot`() throws {
        let directory = try ScratchFolder()
        var generator = SeededGenerator(seed: 45)
        try RandomTree.makeMany(directory("data"), files: 20, using: &generator)
        let inner = MemoryBlobStore()
        let store = FaultyBlobStore(inner)
        let repository = try Repository.create(store: store, password: TestRepository.password)
        let session = try repository.beginBackup()
        try session.capture(directory("data"), as: "/data")
        store.setScript([
            Fault(
                .run {
                    let isEmpty = try inner.list(.data).isEmpty
                    if isEmpty { throw HoldfastError(.internalFault, "index before packs") }
                }, on: [.put], of: [.index]),
            Fault(
                .run {
                    let isEmpty = try inner.list(.index).isEmpty
                    if isEmpty { throw HoldfastError(.internalFault, "snapshot before index") }
                }, on: [.put], of: [.snapshot]),
        ])
        _ = try session.finish(TestRepository.info())
        #expect(try repository.check(readData: true).isIntact)
    }

    @Test func `a store that cannot be read stops a restore instead of naming every file`() throws {
        let directory = try ScratchFolder()
        var generator = SeededGenerator(seed: 46)
        try RandomTree.makeMany(directory("data"), files: 10, using: &generator)
        let store = FaultyBlobStore(MemoryBlobStore())
        let repository = try Repository.create(store: store, password: TestRepository.password)
        let session = try repository.beginBackup()
        try session.capture(directory("data"), as: "/data")
        let finished = try session.finish(TestRepository.info())
        store.setScript([
            Fault(.fail(HoldfastError(.unavailable, "gone")), on: [.get], of: [.data], calls: 4...Int.max)
        ])
        let error = #expect(throws: HoldfastError.self) {
            try repository.restore(TreePath(finished.id, path: "/data"), to: directory("out"))
        }
        #expect(error?.code == .unavailable)
    }
}
