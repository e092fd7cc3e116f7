/// Makes text that looks, to a compressor, like source code and markup: few frequent words, many rare ones, lines with
/// indents, now and then a number.
struct TextSource {
    private let words: [[UInt8]]

    init(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let consonants = Array("bcdfghjklmnprstvwz".utf8)
        let vowels = Array("aeiou".utf8)
        words = (0..<6000).map { index in
            var word: [UInt8] = []
            for _ in 0...(1 + generator.below(index < 300 ? 2 : 4)) {
                word.append(consonants[generator.below(consonants.count)])
                word.append(vowels[generator.below(vowels.count)])
            }
            return word
        }
    }

    func text(_ count: Int, _ generator: inout SeededGenerator) -> [UInt8] {
        let marks = Array(" (),;=.{}<>\"/ ".utf8)
        var result: [UInt8] = []
        result.reserveCapacity(count + 64)
        while result.count < count {
            for _ in 0..<generator.below(4) { result.append(contentsOf: [0x20, 0x20, 0x20, 0x20]) }
            for _ in 0...(2 + generator.below(8)) {
                if generator.isTrue(percent: 8) {
                    result.append(contentsOf: String(generator.next() >> 44).utf8)
                } else {
                    result.append(contentsOf: words[rank(&generator)])
                }
                result.append(generator.isTrue(percent: 75) ? 0x20 : marks[generator.below(marks.count)])
            }
            result.append(0x0a)
        }
        result.removeLast(result.count - count)
        return result
    }

    /// Low ranks far more often than high ones: the product of three uniform numbers.
    private func rank(_ generator: inout SeededGenerator) -> Int {
        generator.below(1 + generator.below(1 + generator.below(words.count)))
    }
}
