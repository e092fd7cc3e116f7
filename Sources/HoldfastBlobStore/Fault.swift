import HoldfastModel

/// The calls of a blob store, as a script of faults names them.
public enum BlobOperation: String, CaseIterable, Sendable {
    case put
    case get
    case size
    case list
    case delete
}

/// One line of a `FaultyBlobStore`'s script: which calls it meets, and what happens to them.
public struct Fault: Sendable {
    /// What happens to a call.
    public enum Effect: Sendable {
        /// The call does nothing and throws.
        case fail(HoldfastError)
        /// The call is carried out, and throws nevertheless: the answer is lost.
        case loseAnswer(HoldfastError)
        /// A put stores only that many first bytes and throws; a get answers with only that many. This breaks the
        /// contract on purpose, as a disk does that lies about a sync.
        case tear(Int)
        /// The bit `0x01` of the byte at that offset is flipped, in what is stored or in what is answered.
        case flip(Int)
        /// The call waits, and is carried out then.
        case delay(Duration)
        /// The closure is run before the call is carried out, on the caller's thread; if it throws, the call throws.
        case run(@Sendable () throws -> Void)
    }

    public let effect: Effect
    public let operations: Set<BlobOperation>
    public let kinds: Set<BlobKind>
    /// Which of the calls that match operation and kind, counted from 1.
    public let calls: ClosedRange<Int>

    /// - Parameters:
    ///   - effect: What happens.
    ///   - operations: The operations it meets; all by default.
    ///   - kinds: The kinds of object it meets; all by default.
    ///   - calls: Which of the matching calls, counted from 1; all by default.
    public init(
        _ effect: Effect, on operations: Set<BlobOperation> = Set(BlobOperation.allCases),
        of kinds: Set<BlobKind> = Set(BlobKind.allCases), calls: ClosedRange<Int> = 1...Int.max
    ) {
        self.effect = effect
        self.operations = operations
        self.kinds = kinds
        self.calls = calls
    }

    /// The n-th put, and all after it, find the disk full.
    public static func diskFull(fromPut number: Int) -> Fault {
        Fault(.fail(fullDisk), on: [.put], calls: number...Int.max)
    }

    /// The n-th put, and only that, finds the disk full.
    public static func diskFull(onPut number: Int) -> Fault {
        Fault(.fail(fullDisk), on: [.put], calls: number...number)
    }

    /// The store cannot be reached, from the n-th call on.
    public static func unreachable(fromCall number: Int = 1) -> Fault {
        Fault(.fail(HoldfastError(.unavailable, "the store cannot be reached")), calls: number...Int.max)
    }

    private static var fullDisk: HoldfastError {
        HoldfastError(.noSpace, "no space left on device", hint: "Free space on that disk, or raise the quota")
    }

    func matches(_ operation: BlobOperation, _ kind: BlobKind) -> Bool {
        operations.contains(operation) && kinds.contains(kind)
    }
}

/// Counts calls and says which faults each of them meets: the decision behind `FaultyBlobStore`.
struct FaultScript {
    private(set) var faults: [Fault]
    /// How many calls matched each fault so far.
    private var matched: [Int]
    private var counts: [BlobOperation: Int] = [:]

    init(_ faults: [Fault]) {
        self.faults = faults
        self.matched = faults.map { _ in 0 }
    }

    /// Counts the call, and returns what happens to it, in the order of the script.
    mutating func effects(of operation: BlobOperation, _ kind: BlobKind) -> [Fault.Effect] {
        counts[operation, default: 0] += 1
        var effects: [Fault.Effect] = []
        for (index, fault) in faults.enumerated() where fault.matches(operation, kind) {
            matched[index] += 1
            if fault.calls.contains(matched[index]) { effects.append(fault.effect) }
        }
        return effects
    }

    func count(_ operation: BlobOperation) -> Int { counts[operation] ?? 0 }

    mutating func replace(with faults: [Fault]) {
        self.faults = faults
        matched = faults.map { _ in 0 }
    }
}
