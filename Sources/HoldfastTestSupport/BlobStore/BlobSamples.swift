import HoldfastBlobStore

/// Objects for tests: the same seed gives the same name and the same bytes.
package enum BlobSamples {
    /// A valid name of that kind. It is not the hash of anything; stores do not check that.
    package static func name(_ kind: BlobKind, _ seed: UInt64) -> BlobName {
        if kind == .config { return .config }
        return BlobName(kind: kind, digest: bytes(32, seed: seed &+ 0x5eed))
    }

    /// Bytes that do not compress and do not repeat (SplitMix64: Steele, Lea, Flood, OOPSLA 2014).
    package static func bytes(_ count: Int, seed: UInt64) -> [UInt8] {
        var state = seed
        var words = [UInt64](repeating: 0, count: (count + 7) / 8)
        for index in words.indices {
            state &+= 0x9e37_79b9_7f4a_7c15
            var word = (state ^ (state >> 30)) &* 0xbf58_476d_1ce4_e5b9
            word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
            words[index] = word ^ (word >> 31)
        }
        return words.withUnsafeBytes { Array($0.prefix(count)) }
    }
}
