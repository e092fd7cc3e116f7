/// How many columns of a terminal a text takes.
///
/// East Asian wide and fullwidth characters take two (Unicode Standard Annex 11), emoji too; marks that join the
/// character before them take none, because a Swift `Character` has them already.
package enum TextWidth {
    package static func of(_ text: some StringProtocol) -> Int {
        text.utf8.allSatisfy { $0 >= 32 && $0 < 127 } ? text.utf8.count : text.reduce(0) { $0 + of($1) }
    }

    /// As many characters from the start as fit; at least one.
    static func prefix(of text: String, width: Int) -> String {
        var result = ""
        var used = 0
        for character in text {
            let next = of(character)
            if used + next > width, !result.isEmpty { break }
            result.append(character)
            used += next
        }
        return result
    }

    private static func of(_ character: Character) -> Int {
        guard let first = character.unicodeScalars.first else { return 0 }
        switch first.properties.generalCategory {
        case .control, .format, .nonspacingMark, .enclosingMark: return 0
        default: break
        }
        let isEmoji = first.properties.isEmojiPresentation || character.unicodeScalars.contains { $0.value == 0xFE0F }
        return isEmoji || wide.contains { $0.contains(first.value) } ? 2 : 1
    }

    /// Blocks whose characters are wide or fullwidth (EastAsianWidth.txt: W and F), without the emoji.
    private static let wide: [ClosedRange<UInt32>] = [
        0x1100...0x115F, 0x2E80...0x303E, 0x3041...0x33FF, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xA000...0xA4CF,
        0xA960...0xA97F, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE10...0xFE19, 0xFE30...0xFE6F, 0xFF00...0xFF60,
        0xFFE0...0xFFE6, 0x17000...0x18CFF, 0x1B000...0x1B2FF, 0x1F200...0x1F2FF, 0x20000...0x2FFFD,
        0x30000...0x3FFFD,
    ]
}
