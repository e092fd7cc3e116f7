import Synchronization

/// Keeps a few large buffers, so that packs do not cost fresh pages each time.
///
/// A put to several sites may return while a slow site still writes, and the caller's bytes end with the call: so they
/// are copied, once for all sites.
final class BufferPool: Sendable {
    /// `@unchecked`: a block has one owner at a time, the pool or a `SharedBytes`.
    fileprivate struct Block: @unchecked Sendable {
        let memory: UnsafeMutableRawBufferPointer
    }

    /// Smaller ones come from the allocator each time; larger ones are not kept.
    private static let keptSizes = (1 << 20)...(1 << 25)
    private let limit: Int
    private let blocks = Mutex<[Block]>([])

    /// - Parameter limit: How many buffers are kept at most while unused.
    init(limit: Int) { self.limit = limit }

    deinit {
        blocks.withLock { blocks in
            for block in blocks { block.memory.deallocate() }
            blocks = []
        }
    }

    func copy(_ bytes: UnsafeRawBufferPointer) -> SharedBytes {
        let block = take(bytes.count)
        block.memory.copyMemory(from: bytes)
        return SharedBytes(block, count: bytes.count, pool: self)
    }

    private func take(_ count: Int) -> Block {
        guard Self.keptSizes.contains(count) else {
            return Block(memory: .allocate(byteCount: max(count, 1), alignment: 16))
        }
        let kept = blocks.withLock { blocks in
            blocks.firstIndex { $0.memory.count >= count }.map { blocks.remove(at: $0) }
        }
        if let kept { return kept }
        // Rounded up to whole MiB, so that packs of nearly the same size share buffers.
        let size = ((count + (1 << 20) - 1) >> 20) << 20
        return Block(memory: .allocate(byteCount: size, alignment: 4096))
    }

    fileprivate func give(_ block: Block) {
        let isKept = blocks.withLock { blocks in
            guard blocks.count < limit, Self.keptSizes.contains(block.memory.count) else { return false }
            blocks.append(block)
            return true
        }
        if !isKept { block.memory.deallocate() }
    }
}

/// Bytes that several threads read; the buffer goes back to its pool with the last reference.
///
/// `@unchecked`: nobody writes to them after they were made.
final class SharedBytes: @unchecked Sendable {
    private let block: BufferPool.Block
    private let count: Int
    private let pool: BufferPool

    fileprivate init(_ block: BufferPool.Block, count: Int, pool: BufferPool) {
        self.block = block
        self.count = count
        self.pool = pool
    }

    deinit { pool.give(block) }

    func withBytes<Answer>(_ body: (UnsafeRawBufferPointer) throws -> Answer) rethrows -> Answer {
        try withExtendedLifetime(self) { try body(UnsafeRawBufferPointer(rebasing: block.memory[..<count])) }
    }
}
