/// Files of 8 KiB pages, as a database's data directory has them: two of three files are heaps, one is an index.
struct DatabasePages {
    private static let pageSize = 8192
    private static let fileSize = 32 << 20

    let bytes: Int
    var generator: SeededGenerator

    mutating func write(to writer: CorpusWriter) throws {
        var rest = bytes
        var number = 0
        var key: UInt32 = 1
        while rest > 0 {
            let pages = max(min(rest, Self.fileSize) / Self.pageSize, 1)
            let isIndex = number % 3 == 2
            var content: [UInt8] = []
            content.reserveCapacity(pages * Self.pageSize)
            for page in 0..<pages {
                content += isIndex ? index(page, &key) : heap(page, &key)
            }
            let path = "base/\(16384 + number / 3)/\(24576 + number)"
            try writer.put(content, path)
            var changed = content
            for _ in 0..<max(pages / 100, 1) { touch(generator.below(pages), of: &changed) }
            try writer.change(path, to: changed)
            rest -= pages * Self.pageSize
            number += 1
        }
    }

    /// Rows of about 100 bytes, written from the page's end; item pointers from its head.
    private mutating func heap(_ number: Int, _ key: inout UInt32) -> [UInt8] {
        var page = [UInt8](repeating: 0, count: Self.pageSize)
        header(of: &page)
        var end = Self.pageSize
        var pointer = 24
        while end - 104 > pointer + 4 {
            end -= 104
            put(UInt32(end) | 0xD0_0000, into: &page, at: pointer)
            put(UInt32(truncatingIfNeeded: generator.next() >> 40), into: &page, at: end)
            put(UInt32(number), into: &page, at: end + 12)
            put(key, into: &page, at: end + 24)
            put(key / 100_000, into: &page, at: end + 28)
            put(UInt32(generator.below(100_000)), into: &page, at: end + 32)
            for offset in 36..<104 { page[end + offset] = 0x20 }
            for offset in 0..<generator.below(24) { page[end + 40 + offset] = UInt8(97 + generator.below(26)) }
            key += 1
            pointer += 4
        }
        return page
    }

    /// Sorted keys, each with the place of its row.
    private mutating func index(_ number: Int, _ key: inout UInt32) -> [UInt8] {
        var page = [UInt8](repeating: 0, count: Self.pageSize)
        header(of: &page)
        var end = Self.pageSize - 16
        var pointer = 24
        while end - 16 > pointer + 4 {
            end -= 16
            put(UInt32(end) | 0x20_0000, into: &page, at: pointer)
            put(key / 60, into: &page, at: end)
            put(UInt32(16 << 16) | (key % 60), into: &page, at: end + 4)
            put(key, into: &page, at: end + 8)
            key += 1
            pointer += 4
        }
        return page
    }

    /// A log position and a checksum, which differ from page to page.
    private mutating func header(of page: inout [UInt8]) {
        put(UInt32(truncatingIfNeeded: generator.next() >> 33), into: &page, at: 4)
        put(UInt32(generator.below(65536)), into: &page, at: 8)
        put(0x2000_0018, into: &page, at: 12)
        put(0x2004_2000, into: &page, at: 16)
    }

    /// One row gets another number, and with it the page another log position and checksum.
    private mutating func touch(_ number: Int, of file: inout [UInt8]) {
        let start = number * Self.pageSize
        put(UInt32(truncatingIfNeeded: generator.next() >> 33), into: &file, at: start + 4)
        put(UInt32(generator.below(65536)), into: &file, at: start + 8)
        put(UInt32(generator.below(100_000)), into: &file, at: start + 4096 + 4 * generator.below(1000))
    }

    private func put(_ value: UInt32, into page: inout [UInt8], at offset: Int) {
        for byte in 0..<4 { page[offset + byte] = UInt8(truncatingIfNeeded: value >> UInt32(8 * byte)) }
    }
}
