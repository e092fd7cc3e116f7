import HoldfastModel

/// What was found in one copy of a pack.
struct PackState {
    /// Blobs that are damaged, or that do not lie within the pack.
    var damaged = 0
    /// Whether its bytes are what its name says.
    var isIntact = false
    /// What the pack's own header says; nil if that is damaged, or if the pack is not intact.
    var header: [PackEntry]?
}

/// Verifies packs: the digest of all bytes, and each blob. One thread at a time.
///
/// A pack is read in pieces, so that no more than one of them is in memory. The digest of the pack is made beside those
/// of the first blobs, and the other blobs are hashed in pairs: two digests cost little more than one.
final class PackVerifier {
    /// A piece is longer only if one blob is.
    private static let pieceSize = 4 << 20

    private let reader: BlobReader
    private let digest: DigestContext

    init(_ reader: BlobReader) throws {
        self.reader = reader
        digest = try DigestContext()
    }

    /// - Parameters:
    ///   - id: what the digest should be.
    ///   - size: bytes of the pack.
    ///   - entries: the blobs that should be in it.
    ///   - read: gives exactly the bytes of a range, or throws.
    func look(
        at id: ObjectID, size: Int, entries: [PackEntry], read: (Range<Int>) throws -> [UInt8]
    ) throws -> PackState {
        let blobs = entries.map { BlobLocation($0, pack: 0) }.sorted { $0.offset < $1.offset }
        let inside = blobs.filter { $0.range.upperBound <= size }
        var finding = PackState()
        finding.damaged = blobs.count - inside.count
        try digest.begin()
        var position = 0
        var next = 0
        while position < size {
            let piece = Self.piece(from: position, size: size, inside[next...])
            let bytes = try read(position..<piece.end)
            finding.damaged += try verify(bytes, from: position, inside[next..<piece.next], read)
            (position, next) = (piece.end, piece.next)
        }
        finding.isIntact = try digest.finish() == id
        if finding.isIntact { finding.header = try header(size: size, read: read) }
        return finding
    }

    /// The next piece, which cuts no blob, and the first blob behind it.
    private static func piece(
        from position: Int, size: Int, _ blobs: ArraySlice<BlobLocation>
    ) -> (end: Int, next: Int) {
        var end = min(position + pieceSize, size)
        var next = blobs.startIndex
        while next < blobs.endIndex, case let range = blobs[next].range, range.lowerBound < end {
            if range.upperBound > end {
                guard next == blobs.startIndex || range.lowerBound <= position else {
                    end = range.lowerBound
                    break
                }
                end = range.upperBound
            }
            next += 1
        }
        return (end, next)
    }

    /// Takes a piece into the digest, and verifies the blobs in it.
    ///
    /// - Returns: how many are damaged.
    private func verify(
        _ bytes: [UInt8], from position: Int, _ blobs: ArraySlice<BlobLocation>,
        _ read: (Range<Int>) throws -> [UInt8]
    ) throws -> Int {
        // In a sound pack no blob begins before the piece.
        let first = blobs.firstIndex { $0.range.lowerBound >= position } ?? blobs.endIndex
        let strays = try blobs[..<first].count { blob in
            let sealed = try read(blob.range)
            return try sealed.withUnsafeBytes { try reader.unseal($0, blob) } == nil
        }
        return try bytes.withUnsafeBytes { bytes in
            var whole = DigestByTheWay(bytes, into: digest)
            var damaged = strays
            var next = first
            func sealed(_ number: Int) -> SealedBlob {
                let range = blobs[number].range.lowerBound - position..<blobs[number].range.upperBound - position
                return SealedBlob(bytes: bytes.part(range) ?? .empty, location: blobs[number])
            }
            while next < blobs.endIndex {
                if !whole.isDone || next + 1 == blobs.endIndex {
                    if try reader.unseal(sealed(next), beside: &whole) == nil { damaged += 1 }
                    next += 1
                } else {
                    let pair = try reader.unsealPair(sealed(next), sealed(next + 1))
                    damaged += (pair.0 == nil ? 1 : 0) + (pair.1 == nil ? 1 : 0)
                    next += 2
                }
            }
            try whole.finish()
            return damaged
        }
    }

    private func header(size: Int, read: (Range<Int>) throws -> [UInt8]) throws -> [PackEntry]? {
        guard size >= 4 else { return nil }
        let length = Int(PackHeader.number(try read(size - 4..<size), at: 0))
        guard length <= size - 4 else { return nil }
        return try reader.header(of: read(size - 4 - length..<size))
    }
}
