/// One file: alternately text and bytes that do not compress. Made piece by piece, as it is larger than memory.
struct BigFile {
    private static let segment = 16 << 20
    private static let piece = 1 << 20

    let bytes: Int
    var generator: SeededGenerator

    mutating func write(to writer: CorpusWriter) throws {
        let text = TextSource(seed: generator.next())
        let pieces = max(bytes / Self.piece, 1)
        var rewritten: Set<Int> = []
        while rewritten.count < max(pieces / 100, 1) { rewritten.insert(generator.below(pieces)) }
        let (original, changed) = try writer.open("big.bin")
        for piece in 0..<pieces {
            let isText = piece * Self.piece / Self.segment % 2 == 0
            let content = isText ? text.text(Self.piece, &generator) : generator.bytes(Self.piece)
            try original.write(content)
            if rewritten.contains(piece) {
                try changed.write(isText ? text.text(Self.piece, &generator) : generator.bytes(Self.piece))
            } else {
                try changed.write(content)
            }
            // What comes after it is shifted: cuts that follow the content must find themselves again.
            if piece == pieces / 4 { try changed.write([UInt8](repeating: 0x49, count: 1000)) }
        }
    }
}
