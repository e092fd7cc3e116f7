import Glibc
import HoldfastModel

/// A file to be stored.
struct FileJob: Sendable {
    let descriptor: Descriptor
    /// Where the outcome belongs; the session knows.
    let ticket: Int
    /// For messages.
    let path: String
    /// Whether the attributes are to be read from this descriptor; staged files have brought theirs.
    let wantsAttributes: Bool
}

/// What became of a file.
struct FileOutcome: Sendable {
    let ticket: Int
    /// As it was when reading began.
    let status: stat
    let attributes: [ExtendedAttribute]
    let content: Content
    let bytesRead: Int64
    /// Wall clock when reading began.
    let readAt: Timestamp
    let changedWhileRead: Bool
}

/// A piece of a large file, still in the memory it was read into.
struct ChunkJob: Sendable {
    let window: Window
    let range: Range<Int>
    let assembly: FileAssembly
    let number: Int
}

/// Memory of a pool, given back when its last chunk is done. Written by its reader before any chunk is handed out.
final class Window: @unchecked Sendable {
    let buffer: RawBuffer
    private let pool: WindowPool

    init(_ buffer: RawBuffer, pool: WindowPool) {
        self.buffer = buffer
        self.pool = pool
    }

    deinit { pool.give(buffer) }
}

/// The windows of all large files; a bounded number.
final class WindowPool: @unchecked Sendable {
    private let condition = Condition()
    private let limit: Int
    private var idle: [RawBuffer] = []
    private var made = 0

    init(limit: Int) { self.limit = limit }

    /// A window if one is free; else nil after something changed, so that the caller looks for other work first.
    func take(orWaitUnless hasWork: () -> Bool) throws -> Window? {
        try condition.locked {
            if idle.isEmpty && made >= limit {
                if hasWork() { return nil }
                condition.wait()
            }
            if let buffer = idle.popLast() { return Window(buffer, pool: self) }
            guard made < limit else { return nil }
            let buffer = try RawBuffer(capacity: Chunker.largest)
            made += 1
            return Window(buffer, pool: self)
        }
    }

    func give(_ buffer: RawBuffer) {
        condition.locked {
            idle.append(buffer)
            condition.broadcast()
        }
    }

    /// Makes waiting takers look again.
    func wake() { condition.locked { condition.broadcast() } }
}

/// Collects the chunks of a large file; thread-safe.
final class FileAssembly: @unchecked Sendable {
    private let condition = Condition()
    private var ids: [ObjectID?] = []
    private var missing = 0

    /// Announces one more chunk; its number.
    func expect() -> Int {
        condition.locked {
            ids.append(nil)
            missing += 1
            return ids.count - 1
        }
    }

    func fulfil(_ number: Int, _ id: ObjectID) {
        condition.locked {
            ids[number] = id
            missing -= 1
            if missing == 0 { condition.broadcast() }
        }
    }

    var isComplete: Bool { condition.locked { missing == 0 } }

    /// Waits until another thread fulfils the last chunk.
    func waitUntilComplete(orStopped isStopped: () -> Bool) {
        condition.locked { while missing > 0 && !isStopped() { condition.wait() } }
    }

    func wake() { condition.locked { condition.broadcast() } }

    var content: [ObjectID] { condition.locked { ids.compactMap { $0 } } }
}

/// What the session's thread hands to the workers, and what comes back. Bounded.
///
/// Waking a thread costs as much as storing a small file: so nobody is woken who is not waiting, workers take several
/// files at a time, and a full queue is half emptied before it is filled again.
final class WorkQueue: @unchecked Sendable {
    enum Work: Sendable {
        case files([FileJob])
        case chunk(ChunkJob)
    }

    private static let fileLimit = 64
    private static let batchLimit = 8

    private let condition = Condition()
    private let chunkLimit = 2 * workerCount
    private var files: [FileJob] = []
    private var firstFile = 0
    private var chunks: [ChunkJob] = []
    private var unfinishedFiles = 0
    private var outcomes: [FileOutcome] = []
    private var failure: (any Error)?
    private var isClosed = false
    /// Workers that wait for work.
    private var idleWorkers = 0
    /// Whether the session's thread waits for room.
    private var isFull = false

    // MARK: Session's side

    /// Queues a file; waits while the queue is full.
    func push(_ job: FileJob) throws {
        try condition.locked {
            isFull = files.count - firstFile >= Self.fileLimit
            while isFull && failure == nil && !isClosed { condition.wait() }
            if let failure { throw failure }
            files.append(job)
            unfinishedFiles += 1
            if idleWorkers > 0 { condition.broadcast() }
        }
    }

    /// Waits until all files are stored, and hands over what became of those that were not handed over yet.
    func drain() throws -> [FileOutcome] {
        try condition.locked {
            while unfinishedFiles > 0 && failure == nil { condition.wait() }
            if let failure { throw failure }
            defer { outcomes = [] }
            return outcomes
        }
    }

    /// What became of files up to now; empty if these are only a few.
    func takeOutcomes() -> [FileOutcome] {
        condition.locked {
            guard outcomes.count >= Self.fileLimit else { return [] }
            defer { outcomes.removeAll(keepingCapacity: true) }
            return outcomes
        }
    }

    func close() {
        condition.locked {
            isClosed = true
            files = []
            firstFile = 0
            chunks = []
            condition.broadcast()
        }
    }

    // MARK: Workers' side

    /// The next piece of work, chunks first; nil when the queue is closed or broken.
    func next() -> Work? {
        condition.locked {
            while true {
                if isClosed || failure != nil { return nil }
                if !chunks.isEmpty { return .chunk(chunks.removeFirst()) }
                if firstFile < files.count { return .files(takeFiles()) }
                idleWorkers += 1
                condition.wait()
                idleWorkers -= 1
            }
        }
    }

    /// A few files, so that enough are left for the others. Inside `condition.locked`, with files waiting.
    private func takeFiles() -> [FileJob] {
        let waiting = files.count - firstFile
        let count = min(Self.batchLimit, max(waiting / (2 * workerCount), 1))
        let jobs = Array(files[firstFile..<firstFile + count])
        firstFile += count
        if firstFile >= Self.fileLimit || firstFile == files.count {
            files.removeFirst(firstFile)
            firstFile = 0
        }
        if isFull && waiting - count <= Self.fileLimit / 2 {
            isFull = false
            condition.broadcast()
        }
        return jobs
    }

    /// Hands a chunk to whoever is free; false if enough are waiting, so that the caller does it himself.
    func offer(_ chunk: ChunkJob) -> Bool {
        condition.locked {
            guard chunks.count < chunkLimit, failure == nil, !isClosed else { return false }
            chunks.append(chunk)
            if idleWorkers > 0 { condition.broadcast() }
            return true
        }
    }

    func takeChunk() -> ChunkJob? { condition.locked { chunks.isEmpty ? nil : chunks.removeFirst() } }
    var hasChunk: Bool { condition.locked { !chunks.isEmpty } }
    var isStopped: Bool { condition.locked { failure != nil || isClosed } }

    func finish(_ done: [FileOutcome]) {
        condition.locked {
            outcomes += done
            unfinishedFiles -= done.count
            if unfinishedFiles == 0 { condition.broadcast() }
        }
    }

    func fail(_ error: any Error) {
        condition.locked {
            failure = failure ?? error
            condition.broadcast()
        }
    }
}
