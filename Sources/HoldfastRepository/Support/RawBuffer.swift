import Glibc
import HoldfastModel

/// Memory that is reused from one piece of work to the next; pages that are never touched cost nothing.
///
/// Owned by one thread at a time: whoever takes it from a pool.
final class RawBuffer {
    private(set) var base: UnsafeMutableRawPointer
    private(set) var capacity: Int
    private let alignment: Int?

    /// Bytes of a page that the processor finds faster, and that the kernel makes at once.
    static let largePage = 2 << 20

    /// - Parameter alignment: of the first byte, a power of two; nil where none is needed. Large pages are asked for
    ///   if it is `largePage`.
    init(capacity: Int, alignment: Int? = nil) throws {
        self.alignment = alignment
        self.capacity = max(capacity, 64)
        base = try Self.memory(self.capacity, alignment)
    }

    deinit { free(base) }

    /// Makes room for `needed` bytes; what is in the buffer stays.
    func reserve(_ needed: Int) throws {
        guard needed > capacity else { return }
        let larger = max(needed, capacity + capacity / 2)
        if alignment == nil {
            guard let memory = realloc(base, larger) else { throw Self.noMemory(larger) }
            base = memory
        } else {
            // `realloc` does not keep the alignment.
            let memory = try Self.memory(larger, alignment)
            memory.copyMemory(from: base, byteCount: capacity)
            free(base)
            base = memory
        }
        capacity = larger
    }

    private static func memory(_ size: Int, _ alignment: Int?) throws -> UnsafeMutableRawPointer {
        guard let alignment else {
            guard let memory = malloc(size) else { throw noMemory(size) }
            return memory
        }
        var memory: UnsafeMutableRawPointer?
        guard posix_memalign(&memory, alignment, size) == 0, let memory else { throw noMemory(size) }
        if alignment == largePage { madvise(memory, size / largePage * largePage, MADV_HUGEPAGE) }
        return memory
    }

    private static func noMemory(_ size: Int) -> HoldfastError {
        HoldfastError(.system, "no memory for a buffer of \(size) bytes")
    }

    /// - Precondition: the range lies in the buffer; else the process ends, rather than read what is not its own.
    func bytes(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        precondition(range.lowerBound >= 0 && range.upperBound <= capacity, "a range beyond its buffer")
        return UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count)
    }

    /// - Precondition: as `bytes`.
    func mutableBytes(_ range: Range<Int>) -> UnsafeMutableRawBufferPointer {
        precondition(range.lowerBound >= 0 && range.upperBound <= capacity, "a range beyond its buffer")
        return UnsafeMutableRawBufferPointer(start: base + range.lowerBound, count: range.count)
    }
}

extension UnsafeRawBufferPointer {
    static var empty: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }

    /// Whether there are bytes, and all of them are 0.
    var isZero: Bool {
        guard let base = baseAddress, count > 0, self[0] == 0 else { return false }
        return memcmp(base, base + 1, count - 1) == 0
    }

    /// A part of these bytes; nil if it is not all within them. In an optimised build a subscript does not look: use
    /// this for every range that comes from stored data, or for bytes that come from a store.
    func part(_ range: Range<Int>) -> UnsafeRawBufferPointer? {
        guard range.lowerBound >= 0, range.upperBound <= count else { return nil }
        return UnsafeRawBufferPointer(rebasing: self[range])
    }
}
