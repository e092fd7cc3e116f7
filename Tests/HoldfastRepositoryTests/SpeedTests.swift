import CHoldfastFiles
import CHoldfastHash
import Foundation
import Glibc
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

/// What was made fast, and must still be right.
@Suite struct SpeedTests {
    @Test(.enabled(if: holdfast_sha256_is_available() == 1))
    func `the processor's SHA-256 is that of the standard`() {
        // FIPS 180-4's examples.
        #expect(
            Self.digests(Array("abc".utf8), []).0
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(
            Self.digests([], Array("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8)).1
                == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
        #expect(
            Self.digests([UInt8](repeating: 97, count: 1_000_000), []).0
                == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }

    @Test(.enabled(if: holdfast_sha256_is_available() == 1))
    func `two streams side by side have the digests that each has alone, however they are cut`() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<300 {
            let one = generator.bytes(Int.random(in: 0...700, using: &generator))
            let two = generator.bytes(Int.random(in: 0...700, using: &generator))
            let cuts = (0..<4).map { _ in Int.random(in: 0...300, using: &generator) }
            let together = Self.digests(one, two, cuts: cuts)
            #expect(together == (Self.digests(one, []).0, Self.digests([], two).1), "seed \(seed)")
        }
    }

    @Test func `a page that changed in a database file costs one chunk and not what lies around it`() throws {
        let directory = try ScratchFolder()
        let test = try TestRepository(directory)
        try makeDirectory(directory("data"))
        var generator = SeededGenerator(seed: 5)
        var pages: [UInt8] = []
        for _ in 0..<1536 {
            var page = generator.bytes(8192)
            page.replaceSubrange(12..<20, with: [24, 0, 0, 0x20, 0, 0x20, 4, 0x20])
            pages += page
        }
        try Data(pages).write(to: URL(fileURLWithPath: directory("data/16384")))
        let first = try test.backUp(directory("data"))
        pages[700 * 8192 + 4000] ^= 1
        try Data(pages).write(to: URL(fileURLWithPath: directory("data/16384")))
        let second = try test.backUp(directory("data"), parent: first.finished.id)
        #expect(second.captured.filesRead == 1)
        #expect(second.captured.bytesAdded > 0 && second.captured.bytesAdded < 300 << 10)
        #expect(try test.restore(second.finished.id, to: "out").problems == [])
        try expectSame(directory("data"), directory("out"))
        try test.restic.check()
    }

    @Test func `an index of a million blobs takes at most 64 MiB`() throws {
        let directory = try ScratchFolder()
        let test = try TestRepository(directory)
        var generator = SeededGenerator(seed: 9)
        for file in 0..<25 {
            var text = #"{"packs":[{"id":"\#(Self.name(&generator))","blobs":["#
            for blob in 0..<40_000 {
                text += blob == 0 ? "" : ","
                text += #"{"id":"\#(Self.name(&generator))","type":"data","offset":\#(blob * 100),"length":100}"#
            }
            _ = try StoredForm.index.store(Array((text + "]}]}").utf8), in: test.repository)
            #expect(try test.repository.indexSize().blobs == (file + 1) * 40_000)
        }
        let size = try test.repository.indexSize()
        #expect(size.bytes <= 64 << 20 && size.bytes >= 1_000_000 * 36)
    }

    /// A random digest in hexadecimal digits.
    private static func name(_ generator: inout SeededGenerator) -> String {
        var name = ""
        for _ in 0..<4 {
            let digits = String(generator.next(), radix: 16)
            name += String(repeating: "0", count: 16 - digits.count) + digits
        }
        return name
    }

    /// Both digests in hexadecimal digits; the first pieces have the lengths of `cuts`, both streams' alike.
    private static func digests(_ one: [UInt8], _ two: [UInt8], cuts: [Int] = []) -> (String, String) {
        var (first, second) = (holdfast_sha256(), holdfast_sha256())
        holdfast_sha256_begin(&first)
        holdfast_sha256_begin(&second)
        var (left, right) = (one[...], two[...])
        for cut in cuts + [Int.max] {
            let (a, b) = (Array(left.prefix(cut)), Array(right.prefix(cut)))
            holdfast_sha256_update_pair(&first, a, a.count, &second, b, b.count)
            left = left.dropFirst(a.count)
            right = right.dropFirst(b.count)
        }
        return (text(&first), text(&second))
    }

    private static func text(_ context: inout holdfast_sha256) -> String {
        var digest = [UInt8](repeating: 0, count: 32)
        holdfast_sha256_finish(&context, &digest)
        return digest.map { String(format: "%02x", $0) }.joined()
    }

    @Test func `packs are written past the page cache`() throws {
        let directory = try ScratchFolder()
        guard try Self.canPassTheCache(directory("probe")) else { return }
        var generator = SeededGenerator(seed: 77)
        try makeDirectory(directory("data"))
        try writeFile(directory("data/noise"), generator.bytes(20 << 20))
        let test = try TestRepository(directory)
        try test.backUp(directory("data"))
        let packs = try test.store.list(.data).filter { $0.size > 1 << 20 }
        #expect(!packs.isEmpty)
        for pack in packs {
            let name = pack.name.name
            let path = directory("repository/data/\(name.prefix(2))/\(name)")
            #expect(try Self.cachedPages(path) <= 2, "\(path) of \(pack.size) bytes")
        }
    }

    /// Whether the file system can do that at all: some take the request, and do as always.
    private static func canPassTheCache(_ probe: String) throws -> Bool {
        let descriptor = open(probe, O_WRONLY | O_CREAT, 0o600)
        defer { close(descriptor) }
        var page: UnsafeMutableRawPointer?
        try #require(posix_memalign(&page, 4096, 4096) == 0)
        defer { free(page) }
        page?.initializeMemory(as: UInt8.self, repeating: 1, count: 4096)
        guard holdfast_set_direct(descriptor, 1) == 0, write(descriptor, page, 4096) == 4096 else { return false }
        return try cachedPages(probe) == 0
    }

    /// How many pages of a file are in the page cache.
    private static func cachedPages(_ path: String) throws -> Int {
        let descriptor = open(path, O_RDONLY)
        defer { close(descriptor) }
        let size = Int(lseek(descriptor, 0, SEEK_END))
        let memory = try #require(mmap(nil, size, PROT_READ, MAP_SHARED, descriptor, 0))
        try #require(memory != MAP_FAILED)
        defer { munmap(memory, size) }
        var pages = [UInt8](repeating: 0, count: (size + 4095) / 4096)
        try #require(mincore(memory, size, &pages) == 0)
        return pages.count { $0 & 1 == 1 }
    }
}
