import Foundation
import HoldfastModel

/// How `apply` follows `current.json`.
package struct ApplyOptions: Sendable, Codable, Hashable {
    /// Whether deploy and post-deploy hooks of the apps that are started run.
    package var deployHooks: Bool
    /// Behind a closed gate: how long each thing that is started may take, and that old ones are not waited for long.
    /// Nil: as long as it takes.
    package var readyMilliseconds: Int64?

    package init(deployHooks: Bool = false, ready: Duration? = nil) {
        self.deployHooks = deployHooks
        readyMilliseconds = ready.map { Int64(Deadline.nanoseconds($0) / 1_000_000) }
    }
}

/// What a supervisor is asked for. One answer comes for each.
enum SupervisorRequest: Codable {
    case status
    case apply(ApplyOptions)
    case startAside(AsideRequest)
    case stopAside(service: String, record: ServiceRecord)
    /// Starts the apps of another state beside the live ones. Answered by `PortsAnswer`.
    case startAppsAside(CurrentState)
    /// Stops whatever runs aside and is not named by `current.json`.
    case dropAside
    case runCron(app: String, cron: String)
    case stop
    /// The connection that this comes on is the lease: its end thaws.
    case beginFreeze(leaseMilliseconds: Int64)
    /// `untilNanoseconds`: when it ends at the latest, on the machine's monotonic clock; nil for a whole lease.
    case renewFreeze(hold: UInt64, untilNanoseconds: UInt64?)
    case quiesce(hold: UInt64, timeoutMilliseconds: Int64)
    case freeze(hold: UInt64)
    case thaw(hold: UInt64)
}

struct AsideRequest: Codable {
    var service: String
    var record: ServiceRecord
    /// As in the configuration that the data was made with; nil for none.
    var configuration: ConfigurationValue?
    /// What the backup says of the service; nil for empty data.
    var manifest: ServiceManifest?
}

struct FreezeGranted: Codable { var hold: UInt64 }
struct LinesAnswer: Codable { var lines: [String] }
struct PortsAnswer: Codable { var ports: [String: Int] }
struct EmptyAnswer: Codable {}

/// What became of the workers that were asked to stand between two units of work, and of running crons.
package struct QuiesceResult: Sendable, Codable, Hashable {
    /// Workers that said so.
    package var quiesced: [String]
    /// What did not come to an end in time, and for how long, for people: `worker ledger.tally, asked to stand still
    /// 5.0 s ago`, `cron ledger.stamp, running for 12.4 s`. Older supervisors say only who.
    package var late: [String]
}

package struct FreezeResult: Sendable, Codable, Hashable {
    /// `cgroup2`, `cgroup1` or `signal`.
    package var method: String
    /// Workers that were frozen where they stood: crash-consistent.
    package var workersFrozenInPlace: [String]
}

/// How one run of a cron ended.
package struct CronOutcome: Sendable, Codable, Hashable {
    /// Its exit status; 128 and more for a signal.
    package var status: Int32
    package var timedOut: Bool
    /// The last 256 KiB of what it printed.
    package var output: String
    package var seconds: Double
}

/// What one supervisor looks after.
package struct SupervisorStatus: Sendable, Codable, Hashable {
    package enum Phase: String, Sendable, Codable {
        /// What is in `current.json` is being started or replaced.
        case applying
        case running
        /// Nothing is to run.
        case idle
        case stopping
    }

    package var environment: EnvironmentID
    /// The supervisor itself.
    package var pid: Int32
    /// `Control.version` of its binary; nil if that is older than the first one.
    package var version: Int?
    package var phase: Phase
    /// The generation of `current.json` that was applied last; nil before the first.
    package var generation: Int?
    /// A hold is open: apps, workers and crons stand still, or are about to.
    package var isHeld: Bool
    package var isFrozen: Bool
    package var freezeMethod: FreezeMethod
    /// Who runs the processes.
    package var user: ProcessUser
    package var processes: [SupervisedProcess]
    package var services: [SupervisedService]
    /// App name -> its loopback port.
    package var ports: [String: Int]
    /// Why the last apply failed, for people.
    package var problem: String?
}

/// One process as the supervisor sees it.
package struct SupervisedProcess: Sendable, Codable, Hashable {
    package enum Kind: String, Sendable, Codable { case service, web, worker, cron }
    package enum Phase: String, Sendable, Codable {
        case starting
        case running
        /// It ended by itself and is started again after a pause.
        case backingOff
        case stopping
        case ended
    }

    /// Such as `service:services/db/2`, `web:ledger`, `web:ledger/2`, `worker:ledger.tally`, `cron:ledger.stamp`.
    package var key: String
    package var kind: Kind
    /// nil for services.
    package var app: String?
    package var name: String
    package var phase: Phase
    package var pid: Int32?
    /// How often it was started again since the supervisor first started it.
    package var restarts: Int
    package var port: Int?
    /// Whether it runs beside what is live; nil from older supervisors.
    package var isAside: Bool?
    /// How it ended last, for people.
    package var lastExit: String?
}

package struct SupervisedService: Sendable, Codable, Hashable {
    package var name: String
    package var record: ServiceRecord
    package var port: Int
    package var isAside: Bool
    package var isReady: Bool
    package var configuration: ConfigurationValue
}

extension SupervisorStatus {
    /// The live services of a state as adapters take them, by name.
    ///
    /// - Throws: `unavailable` if one of them does not run.
    package func instances(layout: EnvironmentLayout, current: CurrentState) throws -> [String: ServiceInstance] {
        var instances: [String: ServiceInstance] = [:]
        for (name, record) in current.services {
            guard let service = services.first(where: { $0.name == name && $0.record == record }), service.isReady
            else {
                throw HoldfastError(
                    .unavailable, "service '\(name)' does not run on \(record.directory)",
                    hint: "Look into \(layout.serviceLog(name))")
            }
            var instance = try service.instance(layout: layout, user: user)
            let process = processes.first { $0.key == "service:\(record.directory)" }
            instance.leader = process?.pid.flatMap { ProcessHandle(pid: $0) }
            instances[name] = instance
        }
        return instances
    }
}

extension SupervisedService {
    func instance(layout: EnvironmentLayout, user: ProcessUser) throws -> ServiceInstance {
        ServiceInstance(
            directory: try layout.absolute(record.directory),
            runDirectory: layout.runDirectory(service: record.directory), port: port, user: user,
            configuration: ServiceConfiguration(
                name: name, type: try TypeReference(record.type), configuration: configuration))
    }
}
