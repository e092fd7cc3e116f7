import Glibc
import HoldfastModel

/// Where a blob lies: 48 bytes, without references.
struct BlobLocation: Sendable, Hashable {
    var id: ObjectID
    /// Number of the pack in its table.
    var pack: UInt32
    var offset: UInt32
    /// Of the sealed bytes.
    var length: UInt32
    /// The plain length in the low 31 bits if it is compressed, else 0; the type in the highest bit.
    private var packed: UInt32

    init(_ entry: PackEntry, pack: UInt32) {
        id = entry.id
        self.pack = pack
        offset = entry.offset
        length = entry.length
        packed = (entry.uncompressedLength ?? 0) & 0x7FFF_FFFF | UInt32(entry.type.rawValue) << 31
    }

    var type: BlobType { packed >> 31 == 0 ? .data : .tree }
    var isCompressed: Bool { packed & 0x7FFF_FFFF != 0 }
    var plainLength: Int {
        isCompressed ? Int(packed & 0x7FFF_FFFF) : max(Int(length) - SealingContext.overhead, 0)
    }
    var range: Range<Int> { Int(offset)..<Int(offset) + Int(length) }
}

/// Blobs by id: a flat open-addressing table of fixed-size entries, about 56 bytes per blob and none per object.
///
/// Entries lie in blocks, so that the table never needs twice its memory to grow. Not thread-safe.
struct BlobTable: ~Copyable {
    private static let blockShift = 14
    private static let blockSize = 1 << blockShift
    private static let empty = UInt32.max

    private var blocks: [UnsafeMutablePointer<BlobLocation>] = []
    /// Numbers of entries, by hash; a power of two many.
    private var slots: UnsafeMutablePointer<UInt32>
    private var slotMask: Int
    private(set) var count = 0

    init() {
        slotMask = 1023
        slots = .allocate(capacity: 1024)
        slots.initialize(repeating: Self.empty, count: 1024)
    }

    deinit {
        for block in blocks { block.deallocate() }
        slots.deallocate()
    }

    /// Memory that it has taken, in bytes.
    var size: Int {
        blocks.count * Self.blockSize * MemoryLayout<BlobLocation>.stride
            + (slotMask + 1) * MemoryLayout<UInt32>.stride
    }

    subscript(number: Int) -> BlobLocation {
        blocks[number >> Self.blockShift][number & (Self.blockSize - 1)]
    }

    /// The number of a blob's entry; nil if it is not in the table.
    func find(_ id: ObjectID, _ type: BlobType) -> Int? {
        var slot = Int(truncatingIfNeeded: id.prefix) & slotMask
        while case let number = slots[slot], number != Self.empty {
            let entry = self[Int(number)]
            if entry.id == id && entry.type == type { return Int(number) }
            slot = (slot + 1) & slotMask
        }
        return nil
    }

    /// Adds a blob unless it is there already.
    ///
    /// - Returns: whether it was added.
    @discardableResult
    mutating func insert(_ location: BlobLocation) -> Bool {
        guard find(location.id, location.type) == nil else { return false }
        if count & (Self.blockSize - 1) == 0 && count >> Self.blockShift == blocks.count {
            blocks.append(.allocate(capacity: Self.blockSize))
        }
        (blocks[count >> Self.blockShift] + (count & (Self.blockSize - 1))).initialize(to: location)
        if (count + 1) * 10 > (slotMask + 1) * 7 { growSlots() }
        link(UInt32(count), location.id)
        count += 1
        return true
    }

    private mutating func link(_ number: UInt32, _ id: ObjectID) {
        var slot = Int(truncatingIfNeeded: id.prefix) & slotMask
        while slots[slot] != Self.empty { slot = (slot + 1) & slotMask }
        slots[slot] = number
    }

    private mutating func growSlots() {
        slots.deallocate()
        slotMask = slotMask * 2 + 1
        slots = .allocate(capacity: slotMask + 1)
        slots.initialize(repeating: Self.empty, count: slotMask + 1)
        for number in 0..<count { link(UInt32(number), self[number].id) }
    }
}
