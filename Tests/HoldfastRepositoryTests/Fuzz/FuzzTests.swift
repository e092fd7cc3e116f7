import Foundation
import Glibc
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

/// `make fuzz` goes on for longer.
@Suite(.serialized) struct FuzzTests {
    @Test func `no parser crashes, hangs or takes much memory on random and mutated bytes`() throws {
        let directory = try ScratchFolder()
        let count = Patience.rounds(400_000, long: 40_000_000)
        let process = try ProofProcess("fuzz", "--count", "\(count)", "--keep", directory("findings"))
        let status = process.wait()
        #expect(status == 0, "\(process.output)\(process.errors)")
        #expect(process.output.contains(" 0 findings"), "\(process.output)")
        for form in StoredForm.allCases {
            let line = process.output.split(separator: "\n").first { $0.hasPrefix("\(form):") }
            #expect(line.map { !$0.contains(" 0 inputs") && !$0.contains(" 0 accepted") } == true, "\(form)")
        }
    }

    /// Inputs that are easily answered with a crash, a hang or gigabytes.
    static let hostile: [(form: StoredForm, input: [UInt8])] = {
        let id = String(repeating: "ab", count: 32)
        func index(_ blob: String) -> [UInt8] {
            Array("{\"packs\":[{\"id\":\"\(id)\",\"blobs\":[{\"id\":\"\(id)\",\"type\":\"data\",\(blob)}]}]}".utf8)
        }
        func key(_ n: String, _ r: String, _ p: String) -> [UInt8] {
            Array("{\"kdf\":\"scrypt\",\"N\":\(n),\"r\":\(r),\"p\":\(p),\"salt\":\"\",\"data\":\"\"}".utf8)
        }
        // A Zstandard frame of one segment that says it holds 2^60 bytes, with an empty last block.
        let frame: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD, 0xE0, 0, 0, 0, 0, 0, 0, 0, 0x10, 1, 0, 0]
        // One entry whose blob would end beyond 4 GiB, then another.
        let header = (0..<3).flatMap { _ in
            [UInt8](arrayLiteral: 2, 255, 255, 255, 255, 255, 255, 255, 255) + [UInt8](repeating: 7, count: 32)
        }
        return [
            (.index, index("\"offset\":0,\"length\":1152921504606846976")),
            (.index, index("\"offset\":4294967296,\"length\":50")),
            (.index, index("\"offset\":0,\"length\":31")),
            (.index, index("\"offset\":0,\"length\":50,\"uncompressed_length\":2147483648")),
            (.index, index("\"offset\":-1,\"length\":50")),
            (.key, key("1152921504606846976", "8", "1")), (.key, key("4194304", "64", "1")),
            (.key, key("131072", "64", "64")), (.key, key("-1024", "8", "1")), (.key, key("1024", "0", "1")),
            (.key, key("9223372036854775807", "9223372036854775807", "9223372036854775807")),
            (.compressed, frame), (.packHeader, header), (.packHeader, [0]),
            (.packHeader, [9] + [UInt8](repeating: 0, count: 36)),
            (.tree, Array("{\"nodes\":[".utf8) + [UInt8](repeating: 91, count: 1 << 20)),
            (.tree, Array("{\"x\":".utf8) + [UInt8](repeating: 123, count: 1 << 20)),
            (.tree, Array("{\"nodes\":[{\"name\":\"\\".utf8)), (.tree, Array("{\"nodes\":[{\"name\":\"\\\\".utf8)),
            (.tree, Array("{\"nodes\":[{\"name\":\"\\\\U7fffffff\"}]}".utf8)),
            (.tree, Array("{\"nodes\":[{\"name\":\"a\",\"size\":18446744073709551616}]}".utf8)),
            (.snapshot, Array("{\"time\":\"9999-12-31T23:59:60+99:99\",\"tree\":\"\(id)".utf8)),
            (.snapshot, Array("{\"time\":\"0000-00-00T00:00:00Z\",\"tree\":\"\(id)\"}".utf8)),
            (
                .lock,
                Array("{\"time\":\"2026-01-01T00:00:00.99999999999999999999Z\",\"pid\":-9223372036854775808}".utf8)
            ),
            (.config, Array("{\"version\":2,\"id\":\"\",\"chunker_polynomial\":\"0\"}".utf8)),
            (.config, Array("{\"version\":2,\"id\":\"\",\"chunker_polynomial\":\"ffffffffffffffffffff\"}".utf8)),
            (.masterKey, Array("{\"mac\":{\"k\":\"\",\"r\":\"\"},\"encrypt\":\"AAAA\"}".utf8)),
        ]
    }()

    @Test func `hostile lengths, numbers and nesting are refused without taking memory`() throws {
        let before = Self.peakMemory()
        for (form, input) in Self.hostile {
            let error = #expect(
                throws: HoldfastError.self, "\(form): \(String(decoding: input.prefix(200), as: UTF8.self))"
            ) {
                try form.parse(input)
            }
            #expect(
                error.map { [.damaged, .unsupported].contains($0.code) } == true,
                "\(form): \(String(describing: error))")
        }
        #expect(Self.peakMemory() - before < 100 << 10, "KiB")
    }

    @Test func `whatever a well sealed index or snapshot says, check, restore, prune and repair end with an answer`()
        throws
    {
        let bench = try CrashBench(seed: 151)
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = SeededGenerator(seed: seed)
        for round in 0..<Patience.rounds(150, long: 5000) {
            let store = try bench.store()
            let form = round % 2 == 0 ? StoredForm.index : .snapshot
            var text = try #require(form.samples(in: CrashBench.open(store)).randomElement(using: &generator))
            for _ in 0..<Int.random(in: 1...3, using: &generator) { Self.mutate(&text, using: &generator) }
            let name = try form.store(text, in: CrashBench.open(store))
            if Bool.random(using: &generator) {
                // Instead of a good one.
                let others = try store.list(name.kind).map(\.name).filter { $0 != name }
                if let victim = others.randomElement(using: &generator) { try store.delete(victim) }
            }
            let repository = try CrashBench.open(store)
            let place = "round \(round), seed \(seed)"
            try Self.expectAnswer(place) { _ = try repository.check(readData: true) }
            for id in bench.snapshots.keys {
                try? FileManager.default.removeItem(atPath: bench.directory("out"))
                try Self.expectAnswer(place) { _ = try repository.restore(TreePath(id), to: bench.directory("out")) }
            }
            try Self.expectAnswer(place) { _ = try repository.planPrune(PruneOptions(maxUnusedPercent: 0)) }
            try Self.expectAnswer(place) { _ = try repository.planRepair().execute() }
            try Self.expectAnswer(place) { try bench.backUp(repository) }
        }
    }

    private static func expectAnswer(_ place: String, _ body: () throws -> Void) throws {
        do { try body() } catch let error as HoldfastError {
            #expect(error.code != .internalFault, "\(place): \(error)")
        }
    }

    /// Changes a number, a digit of an id, or a word.
    private static func mutate(_ text: inout [UInt8], using generator: inout SeededGenerator) {
        let place = Int.random(in: 0..<text.count, using: &generator)
        let digits = text[place...].firstIndex { (48...57).contains($0) } ?? 0
        let end = text[digits...].firstIndex { !(48...57).contains($0) } ?? text.count
        let numbers = ["0", "31", "32", "65", "4294967295", "2147483647", "2147483648", "1000000000"]
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: text[place] ^= 1
        case 1:
            text.replaceSubrange(
                digits..<end, with: Array(numbers[Int.random(in: 0..<numbers.count, using: &generator)].utf8))
        case 2: text[digits] = UInt8.random(in: 48...57, using: &generator)
        default:
            text.replaceSubrange(
                place..<min(place + 30, text.count), with: text[(place / 2)..<min(place / 2 + 30, text.count)])
        }
    }

    /// Of this process, in KiB.
    private static func peakMemory() -> Int {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return usage.ru_maxrss
    }
}
