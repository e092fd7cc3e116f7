import Foundation
import HoldfastBackup
import HoldfastEnvironments
import HoldfastRetention
import Logging

/// `clock.json` in the state directory: how wall clock and counting clock stood to each other. The counting one begins
/// anew when the machine starts, so what is in the file counts only until then.
struct ClockFile: ClockMemory {
    let path: String
    /// Another one after each start of the machine; nil if the system does not say.
    let boot: String?

    private struct Content: Codable {
        var boot: String
        var clocks: ClockGuard
    }

    init(home: StateDirectory) {
        path = "\(home.path)/clock.json"
        let text = try? String(contentsOfFile: "/proc/sys/kernel/random/boot_id", encoding: .utf8)
        boot = text?.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    func load() -> ClockGuard? {
        guard let boot, let data = FileManager.default.contents(atPath: path),
            let content = try? JSONDecoder().decode(Content.self, from: data), content.boot == boot
        else { return nil }
        return content.clocks
    }

    func store(_ clocks: ClockGuard) {
        guard let boot else { return }
        do {
            let data = try JSONEncoder().encode(Content(boot: boot, clocks: clocks))
            try DurableFile.write(Array(data), to: path, mode: 0o600)
        } catch {
            Logger(label: "holdfast.scheduler").warning("cannot note the clock", metadata: ["error": "\(error)"])
        }
    }
}
