import HoldfastBlobStore
import HoldfastModel
import Synchronization
import Testing

/// One sentence of the contract in `BlobStore`'s documentation, with its test. Every implementation passes all of them:
///
/// ```swift
/// @Test(arguments: BlobStoreContract.all)
/// func `my store keeps the contract`(_ clause: BlobStoreContract) throws { try clause.check(MyStore()) }
/// ```
package struct BlobStoreContract: Sendable, CustomTestStringConvertible {
    /// What must hold.
    package let sentence: String
    /// Whether it asks for what is not there. A store of several sites can only tell that if it reaches all of them.
    package let isAboutAbsence: Bool
    private let body: @Sendable (any BlobStore) throws -> Void

    package var testDescription: String { sentence }

    /// Tests the sentence on a store that is empty, and leaves things in it.
    package func check(_ store: any BlobStore) throws { try body(store) }

    /// The whole contract.
    package static let all: [BlobStoreContract] = reading + writing + names + threads

    private init(
        _ sentence: String, isAboutAbsence: Bool = false,
        _ body: @escaping @Sendable (any BlobStore) throws -> Void
    ) {
        self.sentence = sentence
        self.isAboutAbsence = isAboutAbsence
        self.body = body
    }

    private static let reading = [
        BlobStoreContract("what was put is got back, whole and in ranges, for every kind and size") { store in
            for (number, size) in [0, 1, 4095, 4096, 1 << 20, 3_000_001].enumerated() {
                for kind in BlobKind.allCases where kind != .config || size == 4095 {
                    let name = BlobSamples.name(kind, UInt64(number))
                    let bytes = BlobSamples.bytes(size, seed: UInt64(number))
                    try store.put(name, bytes)
                    #expect(try store.get(name) == bytes)
                    #expect(try store.size(name) == size)
                    let middle = size / 3..<size - size / 4
                    #expect(try store.get(name, range: middle) == Array(bytes[middle]))
                    #expect(try store.get(name, range: 0..<size) == bytes)
                    #expect(try store.get(name, range: size..<size) == [])
                }
            }
        },
        BlobStoreContract("what is missing is not found", isAboutAbsence: true) { store in
            for kind in BlobKind.allCases {
                let name = BlobSamples.name(kind, 1)
                expectFailure(.notFound) { try store.get(name) }
                expectFailure(.notFound) { try store.get(name, range: 0..<0) }
                expectFailure(.notFound) { try store.get(name, range: nil) { _ in true } }
                expectFailure(.notFound) { try store.size(name) }
                let listing = try store.list(kind)
                #expect(listing.isEmpty)
            }
        },
        BlobStoreContract("a range beyond the end is damage, never fewer bytes", isAboutAbsence: true) { store in
            let name = BlobSamples.name(.data, 1)
            try store.put(name, BlobSamples.bytes(100, seed: 1))
            expectFailure(.damaged) { try store.get(name, range: 0..<101) }
            expectFailure(.damaged) { try store.get(name, range: 99..<200) }
            expectFailure(.damaged) { try store.get(name, range: 100..<101) }
            expectFailure(.damaged) { try store.get(name, range: 101..<101) }
            expectFailure(.damaged) { try store.get(name, range: -1..<5) }
        },
        BlobStoreContract("bytes that the caller does not accept are damage", isAboutAbsence: true) { store in
            let name = BlobSamples.name(.index, 1)
            let bytes = BlobSamples.bytes(100, seed: 1)
            try store.put(name, bytes)
            #expect(try store.get(name, range: nil) { $0 == bytes } == bytes)
            #expect(try store.get(name, range: 3..<9) { $0.count == 6 } == Array(bytes[3..<9]))
            expectFailure(.damaged) { try store.get(name, range: nil) { _ in false } }
        },
        BlobStoreContract("a listing holds names and sizes of one kind, each once") { store in
            var expected: [BlobKind: Set<BlobEntry>] = [:]
            for kind in BlobKind.allCases {
                for number in 0..<(kind == .config ? 1 : 40) as Range<UInt64> {
                    let entry = BlobEntry(name: BlobSamples.name(kind, number), size: Int(number) * 7)
                    try store.put(entry.name, BlobSamples.bytes(entry.size, seed: number))
                    expected[kind, default: []].insert(entry)
                }
            }
            for kind in BlobKind.allCases {
                let entries = try store.list(kind)
                #expect(Set(entries) == expected[kind])
                #expect(entries.count == expected[kind]?.count)
            }
        },
    ]

    private static let writing = [
        BlobStoreContract("putting the same object again changes nothing") { store in
            for kind in BlobKind.allCases {
                let name = BlobSamples.name(kind, 1)
                let bytes = BlobSamples.bytes(70_000, seed: 1)
                for _ in 0..<3 { try store.put(name, bytes) }
                #expect(try store.get(name) == bytes)
                #expect(try store.list(kind) == [BlobEntry(name: name, size: 70_000)])
            }
        },
        BlobStoreContract("a stored object with other bytes is damaged, and a put heals it") { store in
            let bytes = BlobSamples.bytes(5000, seed: 1)
            var flipped = bytes
            flipped[4321] ^= 1
            for (number, wrong) in [Array(bytes[..<4000]), bytes + [0], flipped, []].enumerated() {
                let name = BlobSamples.name(.data, UInt64(number))
                try store.put(name, wrong)
                try store.put(name, bytes)
                #expect(try store.get(name) == bytes)
                #expect(try store.size(name) == 5000)
            }
        },
        BlobStoreContract("a config is never replaced by another one") { store in
            let bytes = BlobSamples.bytes(155, seed: 1)
            try store.put(.config, bytes)
            expectFailure(.conflict) { try store.put(.config, BlobSamples.bytes(155, seed: 2)) }
            expectFailure(.conflict) { try store.put(.config, Array(bytes[..<100])) }
            expectFailure(.conflict) { try store.put(.config, [UInt8]()) }
            #expect(try store.get(.config) == bytes)
        },
        BlobStoreContract("what was deleted is gone, and can be put again", isAboutAbsence: true) { store in
            for kind in BlobKind.allCases {
                let name = BlobSamples.name(kind, 1)
                let other = BlobSamples.name(kind, 2)
                try store.put(name, BlobSamples.bytes(10, seed: 1))
                if kind != .config { try store.put(other, BlobSamples.bytes(20, seed: 2)) }
                try store.delete(name)
                expectFailure(.notFound) { try store.get(name) }
                #expect(try store.list(kind).map(\.name) == (kind == .config ? [] : [other]))
                try store.delete(name)
                try store.put(name, BlobSamples.bytes(30, seed: 3))
                #expect(try store.get(name) == BlobSamples.bytes(30, seed: 3))
            }
        },
    ]

    private static let names = [
        BlobStoreContract("a name that is not a hash is refused by every call") { store in
            let good = BlobSamples.name(.data, 1).name
            let bad = [
                "", "..", "../../etc/passwd", String(good.dropLast()), good + "0", good.uppercased() + "",
                "/" + good.dropFirst(), "../" + good.dropFirst(3), good.dropLast() + "\0", good.dropLast() + "g",
            ]
            var names = bad.filter { $0 != good }.map { BlobName(kind: .data, name: $0) }
            names += [BlobName(kind: .key, name: ".."), BlobName(kind: .config, name: "../config")]
            for name in names {
                expectFailure(.invalidInput) { try store.put(name, [1, 2, 3]) }
                expectFailure(.invalidInput) { try store.get(name) }
                expectFailure(.invalidInput) { try store.get(name, range: 0..<1) }
                expectFailure(.invalidInput) { try store.size(name) }
                expectFailure(.invalidInput) { try store.delete(name) }
            }
            for kind in BlobKind.allCases {
                let listing = try store.list(kind)
                #expect(listing.isEmpty)
            }
        }
    ]

    private static let threads = [
        BlobStoreContract("several threads put, also the same objects, and nothing is lost") { store in
            let outcome = Concurrently.run(threads: 6) { thread in
                for number in 0..<20 as Range<UInt64> {
                    // Half of the names are shared by all threads.
                    let seed = number % 2 == 0 ? number : number + 1000 * UInt64(thread + 1)
                    try store.put(BlobSamples.name(.data, seed), BlobSamples.bytes(20_000, seed: seed))
                }
            }
            #expect(outcome.isEmpty, "\(outcome)")
            let entries = try store.list(.data)
            #expect(entries.count == 10 + 6 * 10)
            for entry in entries { #expect(entry.size == 20_000) }
            for number in [0, 8, 18, 1001, 6019] as [UInt64] {
                #expect(try store.get(BlobSamples.name(.data, number)) == BlobSamples.bytes(20_000, seed: number))
            }
        },
        BlobStoreContract(
            "a reader sees a whole object or none while it is put and deleted", isAboutAbsence: true
        ) { store in
            let name = BlobSamples.name(.data, 1)
            let bytes = BlobSamples.bytes(1 << 20, seed: 1)
            let isDone = Atomic(false)
            let torn = Atomic(0)
            let outcome = Concurrently.run(threads: 2) { thread in
                if thread == 0 {
                    defer { isDone.store(true, ordering: .sequentiallyConsistent) }
                    for _ in 0..<30 {
                        try store.put(name, bytes)
                        try store.delete(name)
                    }
                    return
                }
                while !isDone.load(ordering: .sequentiallyConsistent) {
                    let read: [UInt8]?
                    do {
                        read = try store.get(name)
                    } catch let error as HoldfastError where error.code == .notFound {
                        read = nil
                    }
                    let sizes = try store.list(.data).map(\.size)
                    if read != nil && read != bytes || !sizes.allSatisfy({ $0 == bytes.count }) {
                        torn.add(1, ordering: .relaxed)
                    }
                }
            }
            #expect(outcome.isEmpty, "\(outcome)")
            #expect(torn.load(ordering: .relaxed) == 0)
        },
        BlobStoreContract("of two configs put at once exactly one wins") { store in
            let configs = (0..<4 as Range<UInt64>).map { BlobSamples.bytes(155, seed: $0) }
            let refused = Atomic(0)
            let outcome = Concurrently.run(threads: configs.count) { thread in
                do {
                    try store.put(.config, configs[thread])
                } catch let error as HoldfastError where error.code == .conflict {
                    refused.add(1, ordering: .relaxed)
                }
            }
            #expect(outcome.isEmpty, "\(outcome)")
            #expect(refused.load(ordering: .relaxed) == configs.count - 1)
            let winner = try store.get(.config)
            #expect(configs.contains(winner))
        },
    ]
}
