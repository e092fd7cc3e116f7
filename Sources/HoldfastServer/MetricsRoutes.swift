import Foundation
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel
import HoldfastRetention

/// `GET /metrics`: all environments in the text format of Prometheus. Our addition; off unless a token is set for it.
///
/// It names projects and environments, so it has a token of its own, which can do nothing else: that of a person would
/// lie in the configuration of a monitor for years.
enum MetricsRoutes {
    static func add(to routes: Routes, tokenFile: String?) {
        routes.guarded(by: tokenFile, "/metrics") { parts in
            let text = BackupMetrics.text(try environments(parts))
            return Reply(
                status: 200, headers: ["Content-Type": BackupMetrics.contentType], body: Data(text.utf8))
        }
    }

    private static func environments(_ parts: ServerParts) throws -> [BackupMetrics] {
        let now = parts.time.now()
        return try parts.catalogue.allEnvironments().map { environment in
            let retention = try parts.catalogue.retention(of: environment, at: now)
            let states = parts.operations.siteStates(of: environment.project)
            let last = try parts.catalogue.backups(of: environment.id).first { !$0.keeping.isDeleted }
            return BackupMetrics(
                project: environment.project.rawValue, environment: environment.name, type: environment.type.rawValue,
                last: last.map { API.Backup($0, links: [:], now: states) },
                retention: try parts.view(of: retention, at: now))
        }
    }
}

/// A bearer token in a file.
enum StaticToken {
    /// Shorter ones can be guessed.
    private static let shortest = 16

    /// The file is read each time: a new token needs no restart.
    ///
    /// - Throws: `unauthenticated` if it is another one or none, `unavailable` if the file holds none.
    static func check(_ shown: Secret?, file: String) throws {
        let wanted: [UInt8]
        do { wanted = digest(try SecretFile.read(file, shortest: shortest)) } catch {
            // Where the file lies is nothing for strangers.
            throw HoldfastError(
                .unavailable, "no token of \(shortest) characters or more is set for this path",
                hint: "Write one into the file that metricsTokenFile in settings.json names")
        }
        // Digests are compared, so that the time tells nothing, the length neither.
        let given = digest(shown ?? Secret(""))
        guard shown != nil, Digest.areEqual(wanted, given) else {
            throw HoldfastError(.unauthenticated, "the token for metrics was not shown")
        }
    }

    private static func digest(_ secret: Secret) -> [UInt8] { Digest.sha256(Array(secret.reveal().utf8)) }
}
