import Foundation
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

@Suite(.serialized) struct CacheTests {
    /// A repository of several index files, and a store that counts.
    private struct Sample {
        let directory: ScratchFolder
        let test: TestRepository
        let faulty: FaultyBlobStore
        let id: SnapshotID

        init(_ seed: UInt64) throws {
            directory = try ScratchFolder()
            test = try TestRepository(directory)
            var generator = SeededGenerator(seed: seed)
            var last: SnapshotID?
            for number in 0..<5 {
                try RandomTree.makeMany(directory("data/\(number)"), files: 20, using: &generator)
                last = try test.backUp(directory("data"), parent: last).finished.id
            }
            id = try #require(last)
            faulty = FaultyBlobStore(test.store)
        }

        var cachePath: String { directory("cache") + "/" + test.repository.id }

        func open(keepsTrees: Bool = false, limit: Int = 1 << 30) throws -> Repository {
            let repository = try Repository.open(
                store: faulty, password: TestRepository.password, time: LaterTime())
            #expect(
                repository.use(LocalCache(directory: directory("cache"), limit: limit, keepsTrees: keepsTrees)))
            return repository
        }

        /// Gets of the store that listing the root took; the listing must be right.
        func getsOfListing(_ repository: Repository) throws -> Int {
            let before = faulty.count(.get)
            #expect(try repository.list(id).map(\.path) == ["/data"])
            return faulty.count(.get) - before
        }

        func files(_ kind: String) throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: "\(cachePath)/\(kind)").sorted().map {
                "\(cachePath)/\(kind)/\($0)"
            }
        }
    }

    @Test func `index files are read from the repository once, and the cache is its owner's only`() throws {
        let sample = try Sample(91)
        let first = try sample.getsOfListing(sample.open())
        let second = try sample.getsOfListing(sample.open())
        #expect(first - second == 5 && second > 0)
        #expect(try sample.files("index").count == 5)
        for path in [sample.directory("cache"), sample.cachePath, sample.cachePath + "/index"] {
            #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o700)
        }
        // Backups on top of it find everything, and restic finds nothing wrong.
        let session = try sample.open().beginBackup()
        try session.capture(sample.directory("data"), as: "/data")
        #expect(try session.finish(TestRepository.info()).addedBytes < 1 << 16)
        try sample.test.restic.check()
    }

    @Test func `trees come from the cache if it keeps them, and a check asks the repository all the same`() throws {
        let sample = try Sample(92)
        let first = try sample.getsOfListing(sample.open(keepsTrees: true))
        let second = try sample.getsOfListing(sample.open(keepsTrees: true))
        #expect(first - second == 6)
        for entry in try sample.test.store.list(.data) {
            var bytes = try sample.test.store.get(entry.name)
            bytes[20] ^= 1
            try sample.test.store.put(entry.name, bytes)
        }
        #expect(try sample.getsOfListing(sample.open(keepsTrees: true)) == second)
        #expect(try !sample.open(keepsTrees: true).check(readData: true).isIntact)
    }

    @Test func `damage in the cache is found, whatever it is, and mended from the repository`() throws {
        let sample = try Sample(93)
        let whole = try sample.getsOfListing(sample.open(keepsTrees: true))
        let files = try sample.files("index") + sample.files("tree")
        let damages: [(String, ([UInt8]) -> [UInt8])] = [
            ("flipped", { bytes in bytes.enumerated().map { $0 == bytes.count / 2 ? $1 ^ 1 : $1 } }),
            ("cut", { Array($0.dropLast(10)) }), ("emptied", { _ in [] }), ("longer", { $0 + [0] }),
        ]
        for (name, damage) in damages {
            for file in files { try writeFile(file, damage(Array(try Data(contentsOf: URL(fileURLWithPath: file))))) }
            #expect(try sample.getsOfListing(sample.open(keepsTrees: true)) == whole, "\(name)")
            #expect(try sample.getsOfListing(sample.open(keepsTrees: true)) < whole, "\(name)")
        }
        // One file under the name of another opens, and is not believed.
        let index = try sample.files("index")
        let first = try Data(contentsOf: URL(fileURLWithPath: index[0]))
        for file in index.dropFirst() { try writeFile(file, Array(first)) }
        let restored = try sample.open().restore(TreePath(sample.id, path: "/data"), to: sample.directory("out"))
        #expect(restored.problems == [])
        try expectSame(sample.directory("data"), sample.directory("out"))
    }

    @Test func `a cache that is removed, or cannot be made, is as none`() throws {
        let sample = try Sample(94)
        let repository = try sample.open(keepsTrees: true)
        _ = try sample.getsOfListing(repository)
        try FileManager.default.removeItem(atPath: sample.directory("cache"))
        #expect(try sample.getsOfListing(repository) > 0)
        #expect(try repository.check(readData: true).problems == [])
        try writeFile(sample.directory("file"), "in the way")
        #expect(!repository.use(LocalCache(directory: sample.directory("file"))))
        #expect(try sample.getsOfListing(repository) > 0)
    }

    @Test func `a cache stays below its limit, and drops index files that are gone`() throws {
        let sample = try Sample(95)
        _ = try sample.getsOfListing(sample.open())
        let sizes = try sample.files("index").map {
            try FileManager.default.attributesOfItem(atPath: $0)[.size] as? Int ?? 0
        }
        let limit = sizes.reduce(0, +) / 2
        _ = try sample.getsOfListing(sample.open(limit: limit))
        let left = try sample.files("index").reduce(0) {
            $0 + (try FileManager.default.attributesOfItem(atPath: $1)[.size] as? Int ?? 0)
        }
        #expect(left <= limit && left > 0)
        for entry in try sample.test.repository.snapshots() where entry.id != sample.id {
            try sample.test.repository.forget(entry.id)
        }
        try sample.test.repository.planPrune(PruneOptions(maxUnusedPercent: 0)).execute()
        _ = try sample.getsOfListing(sample.open())
        #expect(try sample.files("index").count == sample.test.store.list(.index).count)
    }

    @Test func `several readers fill one cache at once, and all see the repository as it is`() throws {
        let sample = try Sample(96)
        let failures = Failures()
        let group = DispatchGroup()
        for number in 0..<6 {
            group.enter()
            Thread {
                do {
                    for _ in 0..<5 {
                        let repository = try sample.open(keepsTrees: true, limit: number == 0 ? 4000 : 1 << 30)
                        let names = try repository.list(sample.id, path: "/data").count
                        if names != 5 { failures.add("\(names) entries") }
                    }
                } catch { failures.add("\(error)") }
                group.leave()
            }.start()
        }
        group.wait()
        #expect(failures.all == [])
    }
}

private final class Failures: @unchecked Sendable {
    private let lock = NSLock()
    private var list: [String] = []
    func add(_ text: String) { lock.withLock { list.append(text) } }
    var all: [String] { lock.withLock { list } }
}
