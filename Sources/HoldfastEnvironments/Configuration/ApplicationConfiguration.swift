import Foundation

/// An application as the file describes it.
package struct ApplicationConfiguration: Sendable, Hashable {
    package var name: String
    package var type: TypeReference
    /// The app's folder in the repository; empty for the repository itself.
    package var sourceRoot: String
    /// Relationship name -> what it leads to.
    package var relationships: [String: RelationshipConfiguration]
    /// Path in the app, without leading slash -> mount.
    package var mounts: [String: MountConfiguration]
    /// nil if the app answers no requests.
    package var web: WebConfiguration?
    package var workers: [String: WorkerConfiguration]
    package var hooks: HooksConfiguration
    package var crons: [String: CronConfiguration]
    package var variables: VariablesConfiguration
    /// IANA name; nil for UTC.
    package var timezone: String?
    package var line: Int
    package var typeLine: Int

    package init(name: String, type: TypeReference) {
        self.name = name
        self.type = type
        self.sourceRoot = ""
        self.relationships = [:]
        self.mounts = [:]
        self.workers = [:]
        self.hooks = HooksConfiguration()
        self.crons = [:]
        self.variables = VariablesConfiguration()
        self.line = 0
        self.typeLine = 0
    }
}

package struct RelationshipConfiguration: Sendable, Hashable, Codable {
    /// A service, or another application, of the same file.
    package var service: String
    /// nil for the usual endpoint of the service's type.
    package var endpoint: String?

    package init(service: String, endpoint: String? = nil) {
        self.service = service
        self.endpoint = endpoint
    }
}

/// The processes that answer requests.
package struct WebConfiguration: Sendable, Hashable {
    package var preStart: String?
    /// Run with `/bin/sh -c` in the app's directory; nil if the app answers no requests.
    package var start: String?
    package var postStart: String?
    /// The folder of `locations./.root`, for PLATFORM_DOCUMENT_ROOT.
    package var documentRoot: String?

    package init(start: String? = nil) {
        self.start = start
    }
}

package struct WorkerConfiguration: Sendable, Hashable {
    package var name: String
    package var preStart: String?
    package var start: String
    package var postStart: String?
    /// nil: the worker is frozen where it stands.
    package var quiesce: QuiesceConfiguration?
    /// On top of the app's.
    package var variables: VariablesConfiguration

    package init(name: String, start: String) {
        self.name = name
        self.start = start
        self.variables = VariablesConfiguration()
    }
}

/// Holdfast's extension: how a worker is asked to stand between two units of work.
package struct QuiesceConfiguration: Sendable, Hashable, Codable {
    /// Without `SIG`, such as `USR1`.
    package var signal: String
    package var resume: String
    package var timeoutSeconds: Int

    package init(signal: String = "USR1", resume: String = "USR2", timeoutSeconds: Int = 5) {
        self.signal = signal
        self.resume = resume
        self.timeoutSeconds = timeoutSeconds
    }

    /// The signals that may be used: none of them stops a process that handles it, or is needed by us.
    package static let signals: [String: Int32] = [
        "HUP": 1, "USR1": 10, "USR2": 12, "TTIN": 21, "TTOU": 22, "URG": 23, "WINCH": 28, "IO": 29, "PWR": 30,
    ]

    package var signalNumber: Int32 { Self.signals[signal] ?? 10 }
    package var resumeNumber: Int32 { Self.signals[resume] ?? 12 }
}

package struct HooksConfiguration: Sendable, Hashable {
    package var build: String?
    package var deploy: String?
    package var postDeploy: String?

    package init(build: String? = nil, deploy: String? = nil, postDeploy: String? = nil) {
        self.build = build
        self.deploy = deploy
        self.postDeploy = postDeploy
    }
}

package struct CronConfiguration: Sendable, Hashable {
    package var name: String
    /// Five fields; checked to be a `CronSchedule`.
    package var spec: String
    package var start: String
    package var stop: String?
    /// Seconds between the stop command (or TERM) and KILL.
    package var shutdownTimeout: Int
    /// Seconds that one run may take.
    package var timeout: Int

    package init(
        name: String, spec: String, start: String, stop: String? = nil, shutdownTimeout: Int = 10,
        timeout: Int = 86400
    ) {
        self.name = name
        self.spec = spec
        self.start = start
        self.stop = stop
        self.shutdownTimeout = shutdownTimeout
        self.timeout = timeout
    }
}

/// `variables` of an app: `env` becomes environment variables, any other prefix goes to PLATFORM_VARIABLES.
package struct VariablesConfiguration: Sendable, Hashable {
    package var env: [String: String]
    /// Prefix -> name -> value.
    package var others: [String: [String: ConfigurationValue]]

    package init(env: [String: String] = [:], others: [String: [String: ConfigurationValue]] = [:]) {
        self.env = env
        self.others = others
    }
}

/// One entry of `mounts`. The path is the key that leads to it.
package struct MountConfiguration: Sendable, Hashable {
    package enum Source: String, Sendable, Codable, CaseIterable {
        /// Shared by all instances of the app.
        case storage
        /// Local to the instance; `local` means the same.
        case instance
        /// May be removed at any time; never backed up. `temporary` means the same.
        case tmp
        /// A network storage service.
        case service
    }

    package var source: Source
    /// Sub-directory of the storage; empty for all of it.
    package var sourcePath: String
    /// The app or service that owns the storage; nil for the app itself.
    package var service: String?

    package init(source: Source, sourcePath: String, service: String? = nil) {
        self.source = source
        self.sourcePath = sourcePath
        self.service = service
    }

    package var isBackedUp: Bool { source != .tmp }

    /// One path component that is different for different storage, such as `files` or `tmp=var+cache`.
    package var slug: String {
        let name = sourcePath.isEmpty ? "=" : MountPath.component(for: sourcePath)
        return source == .storage ? name : "\(source.rawValue)=\(name)"
    }
}
