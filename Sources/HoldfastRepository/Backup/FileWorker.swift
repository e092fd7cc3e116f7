import CHoldfastFiles
import Glibc
import HoldfastModel

/// One worker thread of a session: reads files, cuts them, stores the chunks.
final class FileWorker {
    private let core: BackupCore
    private let writer: BlobWriter
    private let buffer: RawBuffer
    private var zeros: ZeroChunk?

    private init(_ core: BackupCore) throws {
        self.core = core
        writer = try BlobWriter(core, mayWait: true)
        buffer = try RawBuffer(capacity: Chunker.largest)
    }

    /// The body of a worker thread; returns when the queue is closed or something failed.
    static func run(_ core: BackupCore) {
        do {
            let worker = try FileWorker(core)
            while let work = core.queue.next() { try worker.perform(work) }
        } catch {
            core.queue.fail(error)
            core.windows.wake()
        }
    }

    private func perform(_ work: WorkQueue.Work) throws {
        switch work {
        case .files(let jobs):
            var outcomes: [FileOutcome] = []
            outcomes.reserveCapacity(jobs.count)
            for job in jobs {
                core.gate.enter()
                defer { core.gate.leave() }
                outcomes.append(try store(job))
            }
            core.queue.finish(outcomes)
        case .chunk(let chunk):
            core.gate.enterToHelp()
            defer { core.gate.leave() }
            try store(chunk)
        }
    }

    private func store(_ chunk: ChunkJob) throws {
        do {
            let id = try writer.store(chunk.window.buffer.bytes(chunk.range), .data)
            chunk.assembly.fulfil(chunk.number, id)
        } catch {
            core.queue.fail(error)
            chunk.assembly.wake()
            throw error
        }
    }

    private func store(_ job: FileJob) throws -> FileOutcome {
        let readAt = Timestamp(core.time.now())
        var before = stat()
        guard fstat(job.descriptor.raw, &before) == 0 else { throw systemError("look at", job.path) }
        guard before.st_mode & S_IFMT == S_IFREG else {
            // The name led to a file when it was looked at; somebody exchanged it since.
            return FileOutcome(
                ticket: job.ticket, status: before, attributes: [], content: .none, bytesRead: -1, readAt: readAt,
                changedWhileRead: true)
        }
        let size = Int(before.st_size)
        let content: (ids: [ObjectID], bytes: Int)
        if size > Chunker.largest {
            content = try storeLarge(job, size: size, FileHoles(job.descriptor, before))
        } else {
            content = try storeSmall(job, size: size)
        }
        var after = stat()
        guard fstat(job.descriptor.raw, &after) == 0 else { throw systemError("look at", job.path) }
        let attributes = job.wantsAttributes ? readAttributes(job.descriptor) : []
        core.meter?.add(items: 1)
        return FileOutcome(
            ticket: job.ticket, status: before, attributes: attributes, content: Content(content.ids),
            bytesRead: Int64(content.bytes), readAt: readAt,
            changedWhileRead: after.st_size != before.st_size || content.bytes != size
                || Timestamp(after.st_mtim) != Timestamp(before.st_mtim)
                || Timestamp(after.st_ctim) != Timestamp(before.st_ctim))
    }

    /// Stores a file that was at most one buffer long; it may have grown meanwhile.
    private func storeSmall(_ job: FileJob, size: Int) throws -> (ids: [ObjectID], bytes: Int) {
        var ids: [ObjectID] = []
        var total = 0
        var filled = 0
        var isAtEnd = false
        var isPaged = false
        repeat {
            let count = try fill(buffer, from: filled, job, known: total == 0 ? size : nil)
            if total == 0 { isPaged = PageFile.isRecognised(buffer.bytes(0..<count), size: size) }
            total += count - filled
            filled = count
            isAtEnd = filled < buffer.capacity
            var start = 0
            while let cut = nextCut(buffer, start..<filled, isPaged: isPaged, isAtEnd: isAtEnd) {
                ids.append(try writer.store(buffer.bytes(start..<start + cut), .data))
                start += cut
                if !isAtEnd { yield() }
            }
            memmove(buffer.base, buffer.base + start, filled - start)
            filled -= start
        } while !isAtEnd
        return (ids, total)
    }

    /// Stores a large file: reads and cuts here, and lets all workers do the rest.
    private func storeLarge(
        _ job: FileJob, size: Int, _ holes: FileHoles
    ) throws -> (ids: [ObjectID], bytes: Int) {
        posix_fadvise(job.descriptor.raw, 0, 0, POSIX_FADV_SEQUENTIAL)
        let assembly = FileAssembly()
        var total = 0
        var filled = 0
        var isAtEnd = false
        var isPaged = false
        var window = try takeWindow()
        repeat {
            if !isPaged, let skipped = try skip(holes, at: total - filled, assembly) {
                total += skipped - filled
                filled = 0
            }
            let count = try fill(window.buffer, from: filled, job, known: nil)
            if total == 0 { isPaged = PageFile.isRecognised(window.buffer.bytes(0..<count), size: size) }
            total += count - filled
            isAtEnd = count < Chunker.largest
            var start = 0
            while let cut = nextCut(window.buffer, start..<count, isPaged: isPaged, isAtEnd: isAtEnd) {
                let chunk = ChunkJob(
                    window: window, range: start..<start + cut, assembly: assembly, number: assembly.expect())
                if core.queue.offer(chunk) { core.windows.wake() } else { try store(chunk) }
                start += cut
            }
            if !isAtEnd {
                let next = try takeWindow()
                memcpy(next.buffer.base, window.buffer.base + start, count - start)
                filled = count - start
                window = next
            }
            yield()
        } while !isAtEnd
        while !assembly.isComplete {
            if core.queue.isStopped { throw HoldfastError(.cancelled, "the backup was ended") }
            if let chunk = core.queue.takeChunk() {
                try store(chunk)
            } else {
                assembly.waitUntilComplete { core.queue.isStopped }
            }
        }
        return (assembly.content, total)
    }

    /// Stores the chunks of a hole as reading it would have cut them, without reading it.
    ///
    /// - Returns: how many bytes were skipped; nil if there is no hole of at least a chunk.
    private func skip(_ holes: FileHoles, at position: Int, _ assembly: FileAssembly) throws -> Int? {
        guard let hole = holes.length(at: position) else { return nil }
        let chunk = try zeros ?? ZeroChunk(core.chunker, writer)
        zeros = chunk
        guard hole >= chunk.length else { return nil }
        for _ in 0..<hole / chunk.length { assembly.fulfil(assembly.expect(), chunk.id) }
        let skipped = hole / chunk.length * chunk.length
        try holes.seek(to: position + skipped)
        return skipped
    }

    /// Length of the next chunk in `range`; nil if more must be read to know it, or if nothing is left.
    private func nextCut(_ buffer: RawBuffer, _ range: Range<Int>, isPaged: Bool, isAtEnd: Bool) -> Int? {
        guard !range.isEmpty else { return nil }
        if isPaged {
            return range.count >= PageFile.chunkSize ? PageFile.chunkSize : isAtEnd ? range.count : nil
        }
        let cut = core.chunker.firstCut(buffer.bytes(range))
        return cut < range.count || isAtEnd || range.count >= Chunker.largest ? cut : nil
    }

    /// A window for the next piece; while none is free, works on waiting chunks.
    private func takeWindow() throws -> Window {
        while true {
            if core.queue.isStopped { throw HoldfastError(.cancelled, "the backup was ended") }
            let window = try core.windows.take { core.queue.hasChunk || core.queue.isStopped }
            if let window { return window }
            if let chunk = core.queue.takeChunk() { try store(chunk) }
        }
    }

    /// Lets a hold begin between two pieces.
    private func yield() {
        core.gate.leave()
        core.gate.enter()
    }

    /// Reads until the buffer is full or the file ends.
    ///
    /// - Parameter known: how long the file is; then no read is spent on finding its end.
    /// - Returns: how many bytes the buffer holds.
    private func fill(_ buffer: RawBuffer, from start: Int, _ job: FileJob, known: Int?) throws -> Int {
        var count = start
        while count < Chunker.largest {
            if let known, count == known { break }
            let size = read(job.descriptor.raw, buffer.base + count, Chunker.largest - count)
            if size == 0 { break }
            if size < 0 {
                if errno == EINTR { continue }
                throw systemError("read", job.path)
            }
            count += size
            core.meter?.add(bytes: size)
        }
        return count
    }
}

/// The extended attributes of an open file; none where the file system has none, or where they may not be read.
func readAttributes(_ descriptor: Descriptor) -> [ExtendedAttribute] {
    collectAttributes(
        list: { holdfast_flistxattr(descriptor.raw, $0, $1) },
        value: { holdfast_fgetxattr(descriptor.raw, $0, $1, $2) })
}

/// The extended attributes of an entry that cannot be opened, such as a symbolic link or a pipe.
func readAttributes(in directory: Descriptor, name: [UInt8]) -> [ExtendedAttribute] {
    let path = Array("/proc/self/fd/\(directory.raw)/".utf8) + name
    return withCName(path) { path in
        collectAttributes(
            list: { holdfast_llistxattr(path, $0, $1) }, value: { holdfast_lgetxattr(path, $0, $1, $2) })
    }
}

private func collectAttributes(
    list: (UnsafeMutablePointer<CChar>?, Int) -> Int,
    value: (UnsafePointer<CChar>, UnsafeMutableRawPointer?, Int) -> Int
) -> [ExtendedAttribute] {
    let names = readGrowing { list($0?.assumingMemoryBound(to: CChar.self), $1) } ?? []
    var attributes: [ExtendedAttribute] = []
    for name in names.split(separator: 0) {
        let bytes = Array(name)
        let content = withCName(bytes) { name in readGrowing { value(name, $0, $1) } }
        if let content { attributes.append(ExtendedAttribute(name: bytes, value: content)) }
    }
    return attributes.sorted { precedes($0.name, $1.name) }
}

/// Reads something whose length is asked for before; if it has grown until it is read, once more.
///
/// - Parameter read: gets a buffer and its length, or nil and 0 for the question; -1 with `errno` if it fails.
/// - Returns: nil if it fails.
private func readGrowing(_ read: (UnsafeMutableRawPointer?, Int) -> Int) -> [UInt8]? {
    while true {
        let size = read(nil, 0)
        guard size >= 0 else { return nil }
        if size == 0 { return [] }
        var content = [UInt8](repeating: 0, count: size + 64)
        let used = content.withUnsafeMutableBytes { read($0.baseAddress, $0.count) }
        if used >= 0 { return Array(content[..<used]) }
        guard errno == ERANGE else { return nil }
    }
}
