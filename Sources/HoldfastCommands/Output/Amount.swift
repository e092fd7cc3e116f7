import Foundation

/// Bytes, times and counts as people read them.
package enum Amount {
    /// `987 B`, `1.2 KiB`, `34 MiB`: three digits at most, powers of 1024.
    package static func bytes(_ count: Int64) -> String {
        guard count >= 1024 else { return "\(count) B" }
        let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        var value = Double(count) / 1024
        var unit = 0
        while value >= 999.5, unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        return "\(digits(value, below: 9.95)) \(units[unit])"
    }

    /// `0.4 ms`, `212 ms`, `1.24 s`, `2 min 5 s`.
    package static func milliseconds(_ value: Double) -> String {
        if value < 9.95 { return "\(String(format: "%.1f", value)) ms" }
        if value < 999.5 { return "\(Int(value.rounded())) ms" }
        if value < 59_995 { return "\(String(format: "%.2f", value / 1000)) s" }
        return seconds(value / 1000)
    }

    /// Whole seconds: `12 s`, `2 min 5 s`, `3 h 20 min`.
    package static func seconds(_ value: Double) -> String {
        let seconds = Int(value.rounded())
        if seconds < 60 { return "\(seconds) s" }
        return seconds < 3600 ? "\(seconds / 60) min \(seconds % 60) s" : "\(seconds / 3600) h \(seconds / 60 % 60) min"
    }

    /// `1 request`, `37 requests`.
    package static func count(_ number: Int, _ noun: String) -> String {
        "\(number) \(noun)\(number == 1 ? "" : "s")"
    }

    private static func digits(_ value: Double, below limit: Double) -> String {
        String(format: value < limit ? "%.1f" : "%.0f", value)
    }
}
