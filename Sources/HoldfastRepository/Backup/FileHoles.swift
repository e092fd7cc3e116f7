import Glibc
import HoldfastModel

/// Where a sparse file has nothing on the disk; reading there would bring zeros, for 1 TiB of them in an hour.
///
/// Source: `SEEK_DATA` in lseek(2).
struct FileHoles {
    /// A file that lacks less than this is read as it is.
    private static let worthwhile = 16 << 20
    private let descriptor: Descriptor
    private let size: Int
    private let isSparse: Bool

    /// - Parameter status: of the open file.
    init(_ descriptor: Descriptor, _ status: stat) {
        self.descriptor = descriptor
        size = Int(status.st_size)
        // `st_blocks` counts 512 bytes, whatever the file system's own blocks are.
        isSparse = Int(status.st_blocks) * 512 + Self.worthwhile < size
    }

    /// Bytes from there to the next data, or to the end; nil if there is data, or nobody can tell. The descriptor's
    /// position stays.
    func length(at position: Int) -> Int? {
        guard isSparse, position < size else { return nil }
        let old = lseek(descriptor.raw, 0, SEEK_CUR)
        guard old >= 0 else { return nil }
        let next = lseek(descriptor.raw, off_t(position), Int32(3))  // SEEK_DATA: not in the module's map
        let end = next < 0 && errno == ENXIO ? size : Int(next)
        guard lseek(descriptor.raw, old, SEEK_SET) == old, end > position else { return nil }
        return end - position
    }

    func seek(to position: Int) throws {
        guard lseek(descriptor.raw, off_t(position), SEEK_SET) == position else {
            throw HoldfastError(.system, "cannot go on behind a hole (errno \(errno))")
        }
    }
}

/// The chunk that the beginning of a long run of zeros is cut into.
struct ZeroChunk {
    let id: ObjectID
    /// In bytes.
    let length: Int

    init(_ chunker: Chunker, _ writer: BlobWriter) throws {
        let buffer = try RawBuffer(capacity: Chunker.largest)
        memset(buffer.base, 0, Chunker.largest)
        length = chunker.firstCut(buffer.bytes(0..<Chunker.largest))
        id = try writer.store(buffer.bytes(0..<length), .data)
    }
}
