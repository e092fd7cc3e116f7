import HoldfastBlobStore
import HoldfastModel

/// A pack that is durable in the store.
struct FinishedPack: Sendable {
    let id: ObjectID
    let entries: [PackEntry]
    let size: Int
}

/// Keeps the open packs, and puts full ones into the store on threads of its own.
///
/// A thread takes a builder, appends and gives it back; so there are never more open packs of one type than threads
/// that write, and usually fewer. At most `queueLimit` full packs wait: then `give` blocks. These packs are most of a
/// backup's memory: a thread that may wait makes no more than a limit of one type, 16 MiB each, and waits until one is
/// durable instead.
final class PackWriter: @unchecked Sendable {
    static let uploaderCount = 2
    private static let queueLimit = 1
    static let usualLimit = max(workerCount, 2)

    private let store: any BlobStore
    private let key: MasterKey
    private let gate: WorkGate
    private let builderLimit: Int
    private let condition = Condition()
    // Below: only inside `condition.locked`.
    private var open: [PackBuilder] = []
    private var spare: [PackBuilder] = []
    private var made: [BlobType: Int] = [:]
    private var waiting: [(builder: PackBuilder, id: ObjectID)] = []
    private var uploading = 0
    /// Threads that wait for a pack.
    private var takers = 0
    private var finished: [FinishedPack] = []
    private var failure: (any Error)?
    private var isClosed = false
    /// Types of which not much is to come: the memory of their packs is not kept for others.
    private var ending: Set<BlobType> = []

    /// - Parameter builderLimit: how many packs of one type are in memory at most; with 1 nothing is packed while one
    ///   is put.
    init(store: any BlobStore, key: MasterKey, gate: WorkGate, builderLimit: Int = PackWriter.usualLimit) {
        self.store = store
        self.key = key
        self.gate = gate
        self.builderLimit = builderLimit
    }

    func start() {
        for index in 0..<Self.uploaderCount { startThread("holdfast-put-\(index)") { self.upload() } }
    }

    /// An open pack of that type, for the caller alone until `give`.
    ///
    /// - Parameter mayWait: whether to wait for another pack to become durable rather than to make one too many. Not
    ///   for a thread that has to let the gate open again, without which nothing becomes durable.
    private func take(_ type: BlobType, mayWait: Bool) throws -> PackBuilder {
        let builder = try condition.locked { () -> PackBuilder? in
            while true {
                if let failure { throw failure }
                if isClosed { throw HoldfastError(.cancelled, "the backup was ended") }
                if let index = open.lastIndex(where: { $0.type == type }) { return open.remove(at: index) }
                if let index = spare.lastIndex(where: { $0.type == type }) { return spare.remove(at: index) }
                guard mayWait, made[type, default: 0] >= builderLimit else { break }
                takers += 1
                condition.wait()
                takers -= 1
            }
            made[type, default: 0] += 1
            return nil
        }
        return try builder ?? PackBuilder(type: type)
    }

    /// An open pack of that type whose digest lags behind its bytes; nil if there is none. Never waits.
    func takeUndigested(_ type: BlobType) -> PackBuilder? {
        condition.locked {
            open.lastIndex { $0.type == type && $0.hasUndigested }.map { open.remove(at: $0) }
        }
    }

    /// Has an open pack of that type filled. If that fails nobody waits for the pack any more: everybody fails.
    ///
    /// - Parameter mayWait: see `take`.
    func fill<Result>(
        _ type: BlobType, mayWait: Bool, sealing: SealingContext, _ body: (PackBuilder) throws -> Result
    ) throws -> Result {
        do {
            let builder = try take(type, mayWait: mayWait)
            let result = try body(builder)
            try give(builder, sealing: sealing)
            return result
        } catch {
            condition.locked {
                failure = failure ?? error
                condition.broadcast()
            }
            throw error
        }
    }

    /// Takes a pack back that is as full as it was. This happens for every blob, so the threads that put are not woken.
    func putBack(_ builder: PackBuilder) {
        condition.locked {
            open.append(builder)
            if takers > 0 { condition.broadcast() }
        }
    }

    /// Takes a pack back; a full one is closed and queued for the store.
    private func give(_ builder: PackBuilder, sealing: SealingContext) throws {
        if builder.isFull {
            try enqueue(builder, sealing: sealing)
        } else {
            putBack(builder)
        }
    }

    /// Queues all open packs of a type, because hardly anything of it will follow, and gives up their memory as soon as
    /// they are durable. Does not wait for that.
    func end(_ type: BlobType, sealing: SealingContext) throws {
        condition.locked {
            ending.insert(type)
            dropSpares(type)
        }
        try enqueueOpen(sealing: sealing) { $0 == type }
    }

    /// Only inside `condition.locked`.
    private func dropSpares(_ type: BlobType) {
        made[type, default: 0] -= spare.count { $0.type == type }
        spare.removeAll { $0.type == type }
    }

    /// Puts all open packs into the store, and waits until every pack is durable.
    ///
    /// - Returns: all packs that became durable since the last call.
    func flush(sealing: SealingContext) throws -> [FinishedPack] {
        try enqueueOpen(sealing: sealing) { _ in true }
        return try condition.locked {
            while failure == nil && (!waiting.isEmpty || uploading > 0) { condition.wait() }
            if let failure { throw failure }
            defer { finished.removeAll() }
            return finished
        }
    }

    /// Ends the threads; what is not durable yet is dropped.
    func close() {
        condition.locked {
            isClosed = true
            waiting.removeAll()
            condition.broadcast()
        }
    }

    /// Closes open packs, none of which is empty: a pack is open because something was appended to it.
    private func enqueueOpen(sealing: SealingContext, _ isMeant: (BlobType) -> Bool) throws {
        while let builder = condition.locked({ open.lastIndex { isMeant($0.type) }.map { open.remove(at: $0) } }) {
            try enqueue(builder, sealing: sealing)
        }
    }

    private func enqueue(_ builder: PackBuilder, sealing: SealingContext) throws {
        let id = try builder.finish(sealing: sealing)
        try condition.locked {
            while waiting.count >= Self.queueLimit && failure == nil && !isClosed { condition.wait() }
            if let failure { throw failure }
            waiting.append((builder, id))
            condition.broadcast()
        }
    }

    private func upload() {
        while let (builder, id) = next() {
            gate.pass()
            do {
                try store.put(BlobName(kind: .data, name: id.description), builder.bytes)
                let pack = FinishedPack(id: id, entries: builder.entries, size: builder.size)
                try builder.reset()
                condition.locked {
                    finished.append(pack)
                    spare.append(builder)
                    if ending.contains(builder.type) { dropSpares(builder.type) }
                    uploading -= 1
                    condition.broadcast()
                }
            } catch {
                condition.locked {
                    failure = failure ?? error
                    uploading -= 1
                    condition.broadcast()
                }
            }
        }
    }

    private func next() -> (PackBuilder, ObjectID)? {
        condition.locked {
            while waiting.isEmpty && !isClosed { condition.wait() }
            guard !waiting.isEmpty else { return nil }
            uploading += 1
            condition.broadcast()
            return waiting.removeFirst()
        }
    }
}
