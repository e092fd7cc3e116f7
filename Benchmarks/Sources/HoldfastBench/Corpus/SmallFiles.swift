/// Many small files, as a site has them.
struct SmallFiles {
    private static let filesPerDirectory = 40
    private static let percentText = 60
    private static let percentCopies = 3

    let files: Int
    let bytes: Int
    var generator: SeededGenerator

    mutating func write(to writer: CorpusWriter) throws {
        let text = TextSource(seed: generator.next())
        // Sizes are uniform between 1 KiB and what makes the sum right.
        let largest = max(2 * bytes / max(files, 1) - 1024, 1025)
        var earlier: [[UInt8]] = []
        for number in 0..<files {
            let isText = generator.isTrue(percent: Self.percentText)
            let path = Self.path(number, isText)
            let size = 1024 + generator.below(largest - 1023)
            var content = isText ? text.text(size, &generator) : Self.picture(size, &generator)
            if isText, !earlier.isEmpty, generator.isTrue(percent: Self.percentCopies) {
                content = earlier[generator.below(earlier.count)]
            } else if isText, earlier.count < 500 {
                earlier.append(content)
            }
            try writer.put(content, path)
            guard number % 100 == 50 else { continue }
            try writer.change(path, to: changed(content, isText, text))
        }
    }

    private mutating func changed(_ content: [UInt8], _ isText: Bool, _ text: TextSource) -> [UInt8] {
        if generator.isTrue(percent: 50) {
            return isText ? text.text(content.count, &generator) : Self.picture(content.count, &generator)
        }
        let middle = content.count / 2
        return content[..<middle] + Array("/* edited \(generator.below(1 << 30)) */\n".utf8) + content[middle...]
    }

    /// As a JPEG: a head that all share, then bytes that nothing compresses.
    private static func picture(_ size: Int, _ generator: inout SeededGenerator) -> [UInt8] {
        let head: [UInt8] = [0xff, 0xd8, 0xff, 0xe0, 0, 0x10, 0x4a, 0x46, 0x49, 0x46, 0, 1, 1, 1, 0, 0x48, 0, 0x48]
        return head + generator.bytes(max(size - head.count, 0))
    }

    private static func path(_ number: Int, _ isText: Bool) -> String {
        let directory = number / filesPerDirectory
        return "site\(directory % 8)/part\(directory)/f\(number).\(isText ? "txt" : "jpg")"
    }
}
