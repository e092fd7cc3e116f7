import Foundation

/// Writes dates after a pattern of PHP's `date()`, in one time zone.
package struct DateFormat: Sendable {
    package let pattern: String
    package let timeZone: TimeZone

    package init(pattern: String = "c", timeZone: TimeZone) {
        self.pattern = pattern
        self.timeZone = timeZone
    }

    package func text(_ date: Date) -> String {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = timeZone
        let parts = calendar.dateComponents(
            [.year, .month, .day, .hour, .minute, .second, .weekday], from: date)
        var result = ""
        var isEscaped = false
        for character in pattern {
            if isEscaped {
                result.append(character)
                isEscaped = false
            } else if character == "\\" {
                isEscaped = true
            } else {
                result += piece(character, parts, date)
            }
        }
        return result
    }

    private func piece(_ letter: Character, _ parts: DateComponents, _ date: Date) -> String {
        switch letter {
        case "c": nested("Y-m-d\\TH:i:sP", date)
        case "r": nested("D, d M Y H:i:s O", date)
        case "U": String(Int(date.timeIntervalSince1970.rounded(.down)))
        case "P": offset(date, separator: ":")
        case "O": offset(date, separator: "")
        case "T": timeZone.abbreviation(for: date) ?? offset(date, separator: ":")
        case "e": timeZone.identifier
        case "D": String(Self.weekdays[(parts.weekday ?? 1) - 1].prefix(3))
        case "l": Self.weekdays[(parts.weekday ?? 1) - 1]
        case "M": String(Self.months[(parts.month ?? 1) - 1].prefix(3))
        case "F": Self.months[(parts.month ?? 1) - 1]
        default: number(letter, parts) ?? String(letter)
        }
    }

    /// The letters that stand for a number; nil for others.
    private func number(_ letter: Character, _ parts: DateComponents) -> String? {
        let hour = parts.hour ?? 0
        let short = hour % 12 == 0 ? 12 : hour % 12
        return switch letter {
        case "Y": String(parts.year ?? 0)
        case "y": padded((parts.year ?? 0) % 100)
        case "m": padded(parts.month ?? 0)
        case "n": String(parts.month ?? 0)
        case "d": padded(parts.day ?? 0)
        case "j": String(parts.day ?? 0)
        case "H": padded(hour)
        case "G": String(hour)
        case "h": padded(short)
        case "g": String(short)
        case "i": padded(parts.minute ?? 0)
        case "s": padded(parts.second ?? 0)
        case "A": hour < 12 ? "AM" : "PM"
        case "a": hour < 12 ? "am" : "pm"
        default: nil
        }
    }

    private func nested(_ pattern: String, _ date: Date) -> String {
        DateFormat(pattern: pattern, timeZone: timeZone).text(date)
    }

    private func offset(_ date: Date, separator: String) -> String {
        let seconds = timeZone.secondsFromGMT(for: date)
        let minutes = abs(seconds) / 60
        return (seconds < 0 ? "-" : "+") + padded(minutes / 60) + separator + padded(minutes % 60)
    }

    private func padded(_ number: Int) -> String { number < 10 ? "0\(number)" : String(number) }

    private static let weekdays = [
        "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
    ]
    private static let months = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
        "December",
    ]
}
