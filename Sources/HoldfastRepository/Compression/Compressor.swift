import CZstd
import Glibc
import HoldfastModel

/// Zstandard with a context that is reused; one thread at a time.
final class Compressor {
    /// Levels 1 to 3 keep zstd faster than the disks. Level 2 stores about what restic's default does; in pieces up to
    /// `smallSize` level 1 is nearly as good, on pages of databases better, and a fourth faster both ways.
    private static let level: Int32 = 2
    private static let levelForSmall: Int32 = 1
    private static let smallSize = 256 << 10

    private let context: OpaquePointer
    private var currentLevel: Int32 = 0

    init() throws {
        guard let context = ZSTD_createCCtx() else { throw libraryFault("ZSTD_createCCtx") }
        self.context = context
    }

    deinit { ZSTD_freeCCtx(context) }

    /// Compresses into the scratch buffer.
    ///
    /// - Returns: the compressed bytes; nil if they would not be fewer, or if a sample says that they cannot be.
    func compress(_ plain: UnsafeRawBufferPointer, scratch: RawBuffer) throws -> UnsafeRawBufferPointer? {
        guard plain.count > 32, Self.looksCompressible(plain) else { return nil }
        let bound = ZSTD_compressBound(plain.count)
        try scratch.reserve(bound)
        try setLevel(for: plain.count)
        let size = ZSTD_compress2(context, scratch.base, scratch.capacity, plain.baseAddress, plain.count)
        guard ZSTD_isError(size) == 0 else { throw libraryFault("ZSTD_compress2") }
        return size < plain.count ? scratch.bytes(0..<size) : nil
    }

    private func setLevel(for size: Int) throws {
        let level = size <= Self.smallSize ? Self.levelForSmall : Self.level
        if level == currentLevel { return }
        guard ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level)) == 0 else {
            throw libraryFault("ZSTD_CCtx_setParameter")
        }
        currentLevel = level
    }

    func compressed(_ plain: [UInt8]) throws -> [UInt8] {
        var result = [UInt8](repeating: 0, count: ZSTD_compressBound(plain.count))
        try setLevel(for: plain.count)
        let size = ZSTD_compress2(context, &result, result.count, plain, plain.count)
        guard ZSTD_isError(size) == 0 else { throw libraryFault("ZSTD_compress2") }
        result.removeLast(result.count - size)
        return result
    }

    /// Looks at a sample of bytes: if all values are about equally frequent, the data is compressed or encrypted
    /// already, and trying would only cost time. Small blobs are always tried.
    static func looksCompressible(_ plain: UnsafeRawBufferPointer) -> Bool {
        let pieces = 16
        let pieceSize = 512
        guard plain.count >= 2 * pieces * pieceSize else { return true }
        let step = (plain.count - pieceSize) / (pieces - 1)
        return withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 256) { counts in
            counts.initialize(repeating: 0)
            for piece in 0..<pieces {
                let start = piece * step
                for index in start..<start + pieceSize { counts[Int(plain[index])] &+= 1 }
            }
            // Over 8192 random bytes each count is 32 on average; their squares then sum up to 256 * (32² + 32).
            // Text, code and pages of databases are far above; a tenth above random already compresses.
            var sum: UInt64 = 0
            for count in counts { sum += UInt64(count) * UInt64(count) }
            return sum > 295_000
        }
    }
}

/// Undoes Zstandard; one thread at a time.
final class Decompressor {
    private let context: OpaquePointer

    init() throws {
        guard let context = ZSTD_createDCtx() else { throw libraryFault("ZSTD_createDCtx") }
        self.context = context
    }

    deinit { ZSTD_freeDCtx(context) }

    /// Decompresses into `target`; nil if the data is damaged or is not exactly `size` bytes long.
    func decompress(
        _ data: UnsafeRawBufferPointer, size: Int, into target: RawBuffer
    ) throws -> UnsafeRawBufferPointer? {
        guard size >= 0, size <= SealingContext.longest else { return nil }
        try target.reserve(size + 1)
        let result = ZSTD_decompressDCtx(context, target.base, size, data.baseAddress, data.count)
        guard ZSTD_isError(result) == 0, result == size else { return nil }
        return target.bytes(0..<size)
    }

    /// Decompresses an object of unknown size; nil if it is damaged or longer than `limit`.
    func decompressed(_ data: ArraySlice<UInt8>, limit: Int = SealingContext.longest) throws -> [UInt8]? {
        try data.withUnsafeBytes { bytes -> [UInt8]? in
            var result: [UInt8] = []
            let known = ZSTD_getFrameContentSize(bytes.baseAddress, bytes.count)
            if known < UInt64(limit) { result.reserveCapacity(Int(known)) }
            guard ZSTD_isError(ZSTD_DCtx_reset(context, ZSTD_reset_session_only)) == 0 else {
                throw libraryFault("ZSTD_DCtx_reset")
            }
            var piece = [UInt8](repeating: 0, count: ZSTD_DStreamOutSize())
            var input = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
            var pending = 1
            while pending != 0 {
                let written = piece.withUnsafeMutableBytes { buffer -> Int? in
                    var output = ZSTD_outBuffer(dst: buffer.baseAddress, size: buffer.count, pos: 0)
                    let before = input.pos
                    pending = ZSTD_decompressStream(context, &output, &input)
                    if ZSTD_isError(pending) != 0 || (output.pos == 0 && input.pos == before) { return nil }
                    return output.pos
                }
                guard let written, result.count + written <= limit else { return nil }
                result.append(contentsOf: piece[..<written])
            }
            return input.pos == bytes.count ? result : nil
        }
    }
}
