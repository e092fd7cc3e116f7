import Glibc
import HoldfastModel

/// Memory that is reused from one piece of work to the next; pages that are never touched cost nothing.
///
/// Owned by one thread at a time: whoever takes it from a pool.
final class RawBuffer {
    private(set) var base: UnsafeMutableRawPointer
    private(set) var capacity: Int

    init(capacity: Int) throws {
        guard let memory = malloc(max(capacity, 64)) else {
            throw HoldfastError(.system, "no memory for a buffer of \(capacity) bytes")
        }
        base = memory
        self.capacity = max(capacity, 64)
    }

    deinit { free(base) }

    /// Makes room for `needed` bytes; what is in the buffer stays.
    func reserve(_ needed: Int) throws {
        guard needed > capacity else { return }
        let larger = max(needed, capacity + capacity / 2)
        guard let memory = realloc(base, larger) else {
            throw HoldfastError(.system, "no memory for a buffer of \(larger) bytes")
        }
        base = memory
        capacity = larger
    }

    /// Gives the memory back to the system: what was in it is lost, and only what is used again is taken again. In
    /// large pages, where the system has them: that costs a fifth.
    func discard() {
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let start = (Int(bitPattern: base) + page - 1) / page * page
        let end = (Int(bitPattern: base) + capacity) / page * page
        guard start < end, let pages = UnsafeMutableRawPointer(bitPattern: start) else { return }
        madvise(pages, end - start, MADV_DONTNEED)
        madvise(pages, end - start, MADV_HUGEPAGE)
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
