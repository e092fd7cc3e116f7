import Foundation
import HoldfastModel

/// The backup of a service that keeps nothing: that it was there is all there is to store.
final class EmptyBackup: ServiceBackupSession {
    let dataDirectory: String
    var method: String { "empty" }

    init(_ instance: ServiceInstance) { dataDirectory = instance.dataDirectory }

    func shouldSkip(_ relativePath: String) -> Bool { true }
    func mark(until end: UInt64?) throws -> [String: String] { [:] }
    func collect(into staging: String) throws -> [CollectedFile] { [] }
    func close() {}

    /// The data directory of such a service.
    static func makeData(_ instance: ServiceInstance, in root: GuardedDirectory) throws {
        try root.makeDirectory("data", mode: 0o700).give(to: instance.user)
    }
}

extension ServiceManifest {
    /// Whether an instance can take what this describes.
    ///
    /// - Parameter method: the only one that its adapter can restore from.
    /// - Throws: `unsupported` for another kind of service or another way of storing.
    func check(for instance: ServiceInstance, method wanted: String) throws {
        let type = try TypeReference(self.type)
        guard type.name == instance.type.name else {
            throw HoldfastError(
                .unsupported,
                "the backup of service '\(instance.name)' is of type '\(type)', and it is of type '\(instance.type)'",
                hint: "Restore it into a service of type '\(type)'")
        }
        guard method == wanted else {
            throw HoldfastError(
                .unsupported, "service '\(instance.name)' was backed up by the method '\(method)', not '\(wanted)'")
        }
    }
}

extension ServiceAdapter {
    /// Waits until a service can be used.
    func waitUntilReady(_ instance: ServiceInstance, timeout: Duration, time: any TimeSource) throws {
        let deadline = Deadline(after: timeout, time: time)
        var failure: (any Error)?
        while true {
            do {
                if try isReady(instance) { return }
            } catch {
                failure = error
            }
            if deadline.hasPassed {
                throw HoldfastError(
                    .timedOut, "service '\(instance.name)' was not ready in time", hint: "Read the service's log",
                    cause: failure)
            }
            usleep(100_000)
        }
    }
}
