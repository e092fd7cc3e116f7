import Foundation
import HoldfastModel
import Synchronization

/// A store that breaks on purpose, as its script says, and counts calls: for tests of what stands above it.
///
/// Without faults it is the inner store. Both ways of get count as `get`.
public final class FaultyBlobStore: BlobStore {
    private let inner: any BlobStore
    private let script: Mutex<FaultScript>
    private let pause: @Sendable (Duration) -> Void

    /// - Parameters:
    ///   - inner: The store that does the work.
    ///   - script: What goes wrong; faults that meet the same call all happen to it, in this order.
    ///   - pause: How a delay waits; blocks the calling thread by default.
    public init(
        _ inner: any BlobStore, script: [Fault] = [],
        pause: @escaping @Sendable (Duration) -> Void = { Thread.sleep(forTimeInterval: $0 / .seconds(1)) }
    ) {
        self.inner = inner
        self.script = Mutex(FaultScript(script))
        self.pause = pause
    }

    /// Replaces the script; its faults count from now.
    public func setScript(_ faults: [Fault]) { script.withLock { $0.replace(with: faults) } }

    /// How often an operation was called, failed calls included.
    public func count(_ operation: BlobOperation) -> Int { script.withLock { $0.count(operation) } }

    public func put(_ name: BlobName, _ bytes: UnsafeRawBufferPointer) throws {
        var lostAnswer: HoldfastError?
        var changed: [UInt8]?
        for effect in script.withLock({ $0.effects(of: .put, name.kind) }) {
            switch effect {
            case .tear(let count):
                try inner.put(name, UnsafeRawBufferPointer(rebasing: bytes.prefix(count)))
                throw HoldfastError(.unavailable, "the put of \(name) was torn after \(count) bytes")
            case .flip(let offset): changed = Self.flipped(changed ?? Array(bytes), at: offset)
            default: lostAnswer = try meet(effect) ?? lostAnswer
            }
        }
        if let changed { try inner.put(name, changed) } else { try inner.put(name, bytes) }
        if let lostAnswer { throw lostAnswer }
    }

    public func get(_ name: BlobName) throws -> [UInt8] {
        try read(name) { try inner.get(name) }
    }

    public func get(_ name: BlobName, range: Range<Int>) throws -> [UInt8] {
        try read(name) { try inner.get(name, range: range) }
    }

    public func size(_ name: BlobName) throws -> Int {
        try call(.size, name.kind) { try inner.size(name) }
    }

    public func list(_ kind: BlobKind) throws -> [BlobEntry] {
        try call(.list, kind) { try inner.list(kind) }
    }

    public func delete(_ name: BlobName) throws {
        try call(.delete, name.kind) { try inner.delete(name) }
    }

    public func device() -> UInt64? { inner.device() }

    private func call<Answer>(
        _ operation: BlobOperation, _ kind: BlobKind, _ body: () throws -> Answer
    ) throws -> Answer {
        var lostAnswer: HoldfastError?
        for effect in script.withLock({ $0.effects(of: operation, kind) }) {
            lostAnswer = try meet(effect) ?? lostAnswer
        }
        let answer = try body()
        if let lostAnswer { throw lostAnswer }
        return answer
    }

    private func read(_ name: BlobName, _ body: () throws -> [UInt8]) throws -> [UInt8] {
        var lostAnswer: HoldfastError?
        let effects = script.withLock { $0.effects(of: .get, name.kind) }
        for effect in effects { lostAnswer = try meet(effect) ?? lostAnswer }
        var bytes = try body()
        for effect in effects {
            switch effect {
            case .tear(let count): bytes = Array(bytes.prefix(count))
            case .flip(let offset): bytes = Self.flipped(bytes, at: offset)
            default: break
            }
        }
        if let lostAnswer { throw lostAnswer }
        return bytes
    }

    /// Carries out what happens before a call; returns the error to throw after it.
    private func meet(_ effect: Fault.Effect) throws -> HoldfastError? {
        switch effect {
        case .fail(let error): throw error
        case .loseAnswer(let error): return error
        case .delay(let duration): pause(duration)
        case .run(let action): try action()
        case .tear, .flip: break
        }
        return nil
    }

    private static func flipped(_ bytes: [UInt8], at offset: Int) -> [UInt8] {
        var bytes = bytes
        if bytes.indices.contains(offset) { bytes[offset] ^= 1 }
        return bytes
    }
}
