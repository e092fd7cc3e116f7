/// One file: alternately text and bytes that do not compress.
struct BigFile {
    private static let segment = 4 << 20
    private static let piece = 1 << 20

    let bytes: Int
    var generator: SeededGenerator

    mutating func write(to writer: inout CorpusWriter) throws {
        let text = TextSource(seed: generator.next())
        var content: [UInt8] = []
        content.reserveCapacity(bytes + 4096)
        var isText = true
        while content.count < bytes {
            let size = min(Self.segment, bytes - content.count)
            content += isText ? text.text(size, &generator) : generator.bytes(size)
            isText.toggle()
        }
        try writer.put(content, "big.bin")
        let old = content
        let pieces = max(bytes / Self.piece, 1)
        for _ in 0..<max(pieces / 100, 1) {
            let start = generator.below(pieces) * Self.piece
            let end = min(start + Self.piece, content.count)
            let isTextThere = start / Self.segment % 2 == 0
            content.replaceSubrange(
                start..<end, with: isTextThere ? text.text(end - start, &generator) : generator.bytes(end - start))
        }
        // What comes after it is shifted: cuts that follow the content must find themselves again.
        content.insert(contentsOf: [UInt8](repeating: 0x49, count: 1000), at: bytes / 4)
        try writer.change("big.bin", from: old, to: content)
    }
}
