import HoldfastModel

/// Cuts a stream where its content says so: gear hash with normalised chunking (FastCDC).
///
/// The table is derived from the repository's id, which is secret to those without the password, so that chunk sizes
/// of known files differ from repository to repository. The same bytes are always cut at the same places in one
/// repository. Readers do not care where the cuts are.
///
/// Source: W. Xia et al., FastCDC: a Fast and Efficient Content-Defined Chunking Approach for Data Deduplication
/// (USENIX ATC 2016).
package struct Chunker: Sendable {
    /// No cut comes earlier, except at the end.
    package static let smallest = 512 << 10
    /// Up to here cuts are made rare, after it frequent: sizes gather around it.
    package static let normal = 1 << 20
    /// A cut comes here at the latest.
    package static let largest = 8 << 20

    private static let rareMask: UInt64 = 0x1F_FFFF << 43
    private static let frequentMask: UInt64 = 0x3_FFFF << 46

    private let table: [UInt64]

    /// - Parameter identity: what the table is derived from.
    package init(identity: String) throws {
        let context = try DigestContext()
        var table: [UInt64] = []
        for index in 0..<64 {
            let block = Array("holdfast gear table 1/\(identity)/\(index)".utf8)
            let digest = try block.withUnsafeBytes { try context.digest($0) }
            withUnsafeBytes(of: digest) { bytes in
                for word in 0..<4 {
                    table.append(UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8 * word, as: UInt64.self)))
                }
            }
        }
        self.table = table
    }

    /// Length of the first chunk of `bytes`; all of them if they hold no cut.
    ///
    /// - Parameter bytes: at least `largest` bytes, or everything up to the stream's end.
    package func firstCut(_ bytes: UnsafeRawBufferPointer) -> Int {
        let end = min(bytes.count, Self.largest)
        guard end > Self.smallest, let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return end }
        return table.withUnsafeBufferPointer { table in
            var hash: UInt64 = 0
            var index = Self.smallest
            let middle = min(end, Self.normal)
            while index < middle {
                hash = (hash << 1) &+ table[Int(base[index])]
                index &+= 1
                if hash & Self.rareMask == 0 { return index }
            }
            while index < end {
                hash = (hash << 1) &+ table[Int(base[index])]
                index &+= 1
                if hash & Self.frequentMask == 0 { return index }
            }
            return end
        }
    }
}
