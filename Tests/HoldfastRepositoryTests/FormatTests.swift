import Foundation
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

@Suite struct FormatTests {
    @Test func `only irreducible polynomials are called irreducible`() throws {
        // x, x+1, x²+x+1, x³+x+1, x⁸+x⁴+x³+x+1 (AES) and restic's documented example are irreducible.
        for bits: UInt64 in [2, 3, 7, 11, 0x11B, 0x25_b468_838d_cb75] {
            #expect(Polynomial(bits: bits).isIrreducible, "\(String(bits, radix: 16))")
        }
        for bits: UInt64 in [0, 1, 4, 5, 6, 9, 0x11C, 0x25_b468_838d_cb74, 0x101] {
            #expect(!Polynomial(bits: bits).isIrreducible, "\(String(bits, radix: 16))")
        }
    }

    @Test func `products of smaller polynomials are never called irreducible`() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<200 {
            let one = generator.next() >> 40 | 1 << 20
            let other = generator.next() >> 40 | 1 << 20
            var product: UInt64 = 0
            for bit in 0..<24 where one >> UInt64(bit) & 1 != 0 { product ^= other << UInt64(bit) }
            #expect(!Polynomial(bits: product).isIrreducible, "seed \(seed)")
        }
    }

    @Test func `restic accepts every polynomial that we make`() throws {
        let directory = try ScratchFolder()
        for number in 0..<4 {
            let test = try TestRepository(directory, name: "r\(number)")
            #expect(try test.restic.expect("cat", "config").contains(test.repository.id))
        }
    }

    @Test func `any bytes survive the quoting of names`() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = SeededGenerator(seed: seed)
        var names = RandomTree.oddNames
        for _ in 0..<2000 { names.append(generator.bytes(Int.random(in: 0..<20, using: &generator))) }
        for name in names {
            let quoted = GoQuoting.quote(name)
            #expect(GoQuoting.unquote(quoted) == name, "seed \(seed): \(name)")
            #expect(String(validating: quoted, as: UTF8.self) != nil, "seed \(seed): \(name)")
        }
        #expect(GoQuoting.quote([0xFF, 0x41]) == Array("\\xffA".utf8))
        #expect(GoQuoting.quote(Array("a\"b\\\u{200B}\n".utf8)) == Array("a\\\"b\\\\\\u200b\\n".utf8))
        #expect(GoQuoting.unquote(Array("\\101".utf8)) == [0x41])
        #expect(GoQuoting.unquote(Array("\\q".utf8)) == nil)
        #expect(GoQuoting.unquote(Array("\\x4".utf8)) == nil)
    }

    @Test(arguments: [
        ("1970-01-01T00:00:00Z", 0, 0), ("2026-11-23T08:33:30.518248634Z", 1_795_422_810, 518_248_634),
        ("2024-02-29T23:59:59.5Z", 1_709_251_199, 500_000_000), ("1969-12-31T23:59:59.999999999Z", -1, 999_999_999),
        ("0001-01-01T00:00:00Z", -62_135_596_800, 0), ("9999-12-31T23:59:59Z", 253_402_300_799, 0),
    ])
    func `times are read and written as RFC 3339 with nanoseconds`(text: String, seconds: Int64, fraction: Int32) {
        let time = Array(text.utf8).withUnsafeBytes { Timestamp(rfc3339: $0) }
        #expect(time == Timestamp(seconds: seconds, nanoseconds: fraction))
        var written: [UInt8] = []
        Timestamp(seconds: seconds, nanoseconds: fraction).append(to: &written)
        #expect(String(decoding: written, as: UTF8.self) == text)
    }

    @Test func `times with an offset are the same instant`() {
        let time = Array("2015-01-02T18:10:50.895208559+01:00".utf8).withUnsafeBytes { Timestamp(rfc3339: $0) }
        let same = Array("2015-01-02T17:10:50.895208559Z".utf8).withUnsafeBytes { Timestamp(rfc3339: $0) }
        #expect(time != nil && time == same)
        for text in ["", "2015", "2015-01-02 18:10:50Z", "2015-13-02T18:10:50Z", "2015-01-02T18:10:50", "x"] {
            #expect(Array(text.utf8).withUnsafeBytes { Timestamp(rfc3339: $0) } == nil, "\(text)")
        }
    }

    @Test func `chunks keep their bounds, and an insertion changes few of them`() throws {
        let seed: UInt64 = 7
        var generator = SeededGenerator(seed: seed)
        let chunker = try Chunker(identity: "test")
        let before = generator.bytes(24 << 20)
        let after = Array(before[..<1_000_000]) + [1, 2, 3] + Array(before[1_000_000...])
        func chunks(_ bytes: [UInt8]) -> [[UInt8]] {
            var result: [[UInt8]] = []
            bytes.withUnsafeBytes { bytes in
                var rest = bytes[...]
                while !rest.isEmpty {
                    let cut = chunker.firstCut(UnsafeRawBufferPointer(rebasing: rest))
                    result.append(Array(rest.prefix(cut)))
                    rest = rest.dropFirst(cut)
                }
            }
            return result
        }
        let one = chunks(before)
        let other = chunks(after)
        #expect(one.flatMap { $0 } == before && other.flatMap { $0 } == after)
        #expect(one.dropLast().allSatisfy { (Chunker.smallest...Chunker.largest).contains($0.count) })
        #expect((12...32).contains(one.count), "\(one.count) chunks of 24 MiB")
        #expect(Set(other).subtracting(one).count <= 3)
    }

    @Test func `another repository cuts elsewhere`() throws {
        var generator = SeededGenerator(seed: 3)
        let bytes = generator.bytes(8 << 20)
        let cuts = try ["a", "b", "c", "d"].map { identity in
            let chunker = try Chunker(identity: identity)
            return bytes.withUnsafeBytes { chunker.firstCut($0) }
        }
        #expect(Set(cuts).count > 1)
    }

    @Test func `there is one repository in a store, and one password opens it`() throws {
        let directory = try ScratchFolder()
        let test = try TestRepository(directory)
        #expect(throws: HoldfastError.self) { try Repository.create(store: test.store, password: Secret("x")) }
        func code(_ body: () throws -> Void) -> HoldfastError.Code? {
            do { try body() } catch { return (error as? HoldfastError)?.code }
            return nil
        }
        #expect(code { _ = try Repository.open(store: test.store, password: Secret("wrong")) } == .wrongPassword)
        #expect(try Repository.open(store: test.store, password: TestRepository.password).id == test.repository.id)
        #expect(code { _ = try Repository.open(store: MemoryBlobStore(), password: Secret("x")) } == .notFound)
        _ = try test.repository.addKey(Secret("second"), scrypt: .randomPassword)
        #expect(try Repository.open(store: test.store, password: Secret("second")).id == test.repository.id)
        #expect(try test.restic.expect("key", "list").split(separator: "\n").count >= 4)
    }

    @Test func `a repository that restic made opens, also with its slow key`() throws {
        let directory = try ScratchFolder()
        let restic = Restic(repository: directory("r"), password: "their password")
        try restic.expect("init")
        let store = FileBlobStore(root: directory("r"))
        let repository = try Repository.open(store: store, password: Secret("their password"))
        #expect(try restic.expect("cat", "config").contains(repository.id))
        #expect(try repository.snapshots().isEmpty)
    }

    @Test func `an interrupted creation can be tried again`() throws {
        for number in 1...2 {
            let faulty = FaultyBlobStore(MemoryBlobStore(), script: [.diskFull(onPut: number)])
            #expect(throws: HoldfastError.self) {
                try Repository.create(store: faulty, password: TestRepository.password)
            }
            let repository = try Repository.create(store: faulty, password: TestRepository.password)
            #expect(try Repository.open(store: faulty, password: TestRepository.password).id == repository.id)
        }
    }

    @Test func `files that share an inode count once only if they are names of one file`() throws {
        let directory = try ScratchFolder()
        let test = try TestRepository(directory)
        func node(_ name: String, _ inode: Int, links: Int, device: Int, size: Int) -> String {
            """
            {"name":"\(name)","type":"file","mode":420,"mtime":"2026-01-01T00:00:00Z","uid":0,"gid":0,"content":[],\
            "inode":\(inode),"links":\(links),"device_id":\(device),"size":\(size)}
            """
        }
        // Two file systems, of which each has an inode 7; and two names of one file on each.
        let nodes = [
            node("a", 7, links: 1, device: 0, size: 1), node("b", 7, links: 1, device: 0, size: 10),
            node("c", 8, links: 2, device: 1, size: 100), node("d", 8, links: 2, device: 1, size: 100),
            node("e", 8, links: 2, device: 2, size: 1000), node("f", 8, links: 2, device: 2, size: 1000),
        ]
        let session = try test.repository.beginBackup()
        let id = try session.finish(
            rawTree: Array("{\"nodes\":[\(nodes.joined(separator: ","))]}".utf8), TestRepository.info())
        let statistics = try test.repository.statistics(of: [id], .restoreSize)
        #expect(statistics.bytes == 1111 && statistics.files == 6)
    }
}
