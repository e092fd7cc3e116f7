import Dispatch
import Foundation
import HoldfastModel
import Logging

/// `holdfast gateway`: a gateway that ends with SIGTERM or SIGINT.
package enum GatewayEntry {
    /// Serves until a signal comes, then lets running requests end.
    ///
    /// - Parameter ready: called once it serves, with the port.
    package static func run(
        _ settings: GatewaySettings, log: Logger = Logger(label: "holdfast.gateway"),
        ready: @Sendable (Int) -> Void = { _ in }
    ) async throws {
        let gateway = Gateway(settings, log: log)
        let signals = [SIGTERM, SIGINT].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { gateway.stop() }
            source.resume()
            return source
        }
        defer { for source in signals { source.cancel() } }
        try await gateway.run(ready: ready)
    }
}
