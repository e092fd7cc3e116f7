import CHoldfastSystem
import Foundation
import HoldfastControl
import HoldfastModel
import Logging

/// `holdfast supervise`.
package enum SupervisorEntry {
    /// Supervises an environment until it is asked to stop.
    ///
    /// SIGTERM, SIGINT and SIGHUP end the supervisor only: its processes run on, and the next one adopts them.
    ///
    /// - Parameters:
    ///   - home: absolute path of the state directory.
    ///   - run: absolute path of the folder for sockets.
    ///   - user: an existing user for the processes; nil for the environment's own (as root) or ourselves.
    ///   - change: what is not as usual.
    package static func run(
        home: String, run: String, environment: EnvironmentID, user: String? = nil,
        change: (inout SupervisorOptions) -> Void = { _ in }
    ) throws {
        let layout = EnvironmentLayout(home: home, run: run, environment: environment)
        guard access("\(layout.directory)/\(EnvironmentIdentity.fileName)", F_OK) == 0 else {
            throw HoldfastError(
                .notFound, "there is no environment '\(environment)' in \(home)",
                hint: "Start holdfast serve: it starts a supervisor for each active environment")
        }
        var options = SupervisorOptions(user: try ProcessUser.forEnvironment(environment, named: user))
        change(&options)
        try self.run(layout: layout, parts: .standard(layout: layout), options: options)
    }

    /// The same with other parts.
    package static func run(layout: EnvironmentLayout, parts: SupervisorParts, options: SupervisorOptions) throws {
        let supervisor = try Supervisor(layout: layout, parts: parts, options: options)
        let signals = holdfast_signal_pipe()
        guard signals >= 0 else { throw SystemFailure.error("listen for signals", -signals) }
        startThread("signals") {
            var number: UInt8 = 0
            while read(signals, &number, 1) < 0 && errno == EINTR {}
            supervisor.logger.notice("leaving, the processes run on", metadata: ["signal": "\(number)"])
            supervisor.leave()
        }
        try supervisor.run()
    }
}
