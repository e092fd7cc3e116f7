import Foundation
import HoldfastModel

/// What a gateway starts with.
package struct GatewayStart: Sendable {
    package var configuration: GatewayConfiguration
    /// Grows with every start; the high bits of hold numbers.
    package var generation: UInt64
    /// Why the stored configuration could not be read; then it starts without routes.
    package var problem: String?
}

/// The gateway's folder: `routes.json`, the last configuration, and `generation`, a number that only grows.
package struct GatewayStore: Sendable {
    package let path: String

    package init(path: String) { self.path = path }

    private var folder: String { (path as NSString).deletingLastPathComponent }
    private var generationPath: String { folder + "/generation" }

    /// Counts the start and reads the last configuration.
    ///
    /// A configuration that cannot be read does not keep the gateway from starting: the control plane sends it
    /// again. A generation that cannot be stored does, because hold numbers could be used twice.
    package func start(at date: Date) throws -> GatewayStart {
        try createFolder()
        let stored =
            (try? String(contentsOfFile: generationPath, encoding: .utf8))
            .flatMap { UInt64($0.trimmingCharacters(in: .whitespacesAndNewlines)) } ?? 0
        // The clock covers for a counter that was lost; the counter for a clock that went back.
        let generation = max(stored + 1, UInt64(max(0, date.timeIntervalSince1970)))
        try replace(generationPath, with: Data("\(generation)\n".utf8))
        var start = GatewayStart(configuration: GatewayConfiguration(), generation: generation, problem: nil)
        guard FileManager.default.fileExists(atPath: path) else { return start }
        do {
            let data = try Data(contentsOf: URL(fileURLWithPath: path))
            let configuration = try JSONDecoder().decode(GatewayConfiguration.self, from: data)
            try configuration.validate()
            start.configuration = configuration
        } catch {
            start.problem = "\(path): \(error)"
        }
        return start
    }

    package func save(_ configuration: GatewayConfiguration) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try replace(path, with: encoder.encode(configuration))
    }

    private func createFolder() throws {
        do {
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw HoldfastError(.system, "cannot make the gateway's folder '\(folder)'", cause: error)
        }
    }

    /// Old or new, never half: written aside, made durable, renamed, and the rename made durable.
    private func replace(_ path: String, with data: Data) throws {
        let aside = path + ".new"
        let file = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw failure("open", aside) }
        do {
            defer { close(file) }
            try data.withUnsafeBytes { bytes in
                var written = 0
                while written < bytes.count {
                    let count = write(file, bytes.baseAddress?.advanced(by: written), bytes.count - written)
                    if count < 0, errno == EINTR { continue }
                    guard count > 0 else { throw failure("write", aside) }
                    written += count
                }
            }
            guard fsync(file) == 0 else { throw failure("sync", aside) }
        }
        guard rename(aside, path) == 0 else { throw failure("rename", aside) }
        let directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw failure("open", folder) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw failure("sync", folder) }
    }

    private func failure(_ call: String, _ path: String) -> HoldfastError {
        let number = errno
        return HoldfastError(
            number == ENOSPC ? .noSpace : .system, "cannot \(call) '\(path)': \(String(cString: strerror(number)))")
    }
}
