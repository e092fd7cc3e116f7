// HoldfastServer: the HTTP API — one file per resource, one for access, one for errors.
//
// It decides who may ask for what, and hands the work to `Operations`; what it shows it reads from the catalogue. A
// handler is a synchronous function from a `Call` to a `Reply`; it runs on a thread of its own, so that nothing that
// blocks ever runs on Swift's cooperative pool. Only the log stream, which waits, is asynchronous.

import Foundation
import HoldfastCatalogue
import HoldfastModel
import Hummingbird
import HummingbirdTLS
import Logging

/// Adds routes that are none of this target's business, such as Git's.
package typealias RouteHook = @Sendable (Router<ServerContext>) -> Void

/// The API's server.
package struct HoldfastServer: Sendable {
    let catalogue: Catalogue
    let operations: any Operations
    let configuration: ServerConfiguration
    let time: any TimeSource
    let logger: Logger
    let hooks: [RouteHook]

    /// - Parameters:
    ///   - configuration: validated when it is run.
    ///   - hooks: routes of others, added before ours.
    package init(
        catalogue: Catalogue, operations: any Operations, configuration: ServerConfiguration, time: any TimeSource,
        logger: Logger, hooks: [RouteHook] = []
    ) {
        self.catalogue = catalogue
        self.operations = operations
        self.configuration = configuration
        self.time = time
        self.logger = logger
        self.hooks = hooks
    }

    /// Serves until the task is cancelled. Open log streams end then.
    ///
    /// - Parameter onRunning: told the port once requests are answered.
    /// - Throws: `invalidInput` if the configuration is not safe, `unavailable` if the address cannot be had.
    package func run(onRunning: @escaping @Sendable (Int) -> Void = { _ in }) async throws {
        try configuration.validate()
        let application = try application(onRunning: onRunning)
        let feed = catalogue.feed
        do {
            try await withTaskCancellationHandler {
                try await application.run()
            } onCancel: {
                feed.close()
            }
        } catch is CancellationError {
            return
        } catch let error as HoldfastError {
            throw error
        } catch {
            throw HoldfastError(
                .unavailable, "cannot serve on \(configuration.host):\(configuration.port)",
                hint: "Check that no other process listens there", cause: error)
        }
    }

    /// The application, for tests and for `run`.
    package func application(
        onRunning: @escaping @Sendable (Int) -> Void = { _ in }
    ) throws -> Application<RouterResponder<ServerContext>> {
        let address = ApplicationConfiguration(
            address: .hostname(configuration.host, port: configuration.port), serverName: "holdfast")
        let started = announce(to: onRunning)
        guard let files = configuration.tls else {
            return Application(
                router: router(), server: plainServer(), configuration: address, onServerRunning: started,
                logger: logger)
        }
        do {
            let certificates = try NIOSSLCertificate.fromPEMFile(files.certificate)
            let key = try NIOSSLPrivateKey(file: files.key, format: .pem)
            let settings = TLSConfiguration.makeServerConfiguration(
                certificateChain: certificates.map { .certificate($0) }, privateKey: .privateKey(key))
            return Application(
                router: router(), server: try .tls(plainServer(), tlsConfiguration: settings), configuration: address,
                onServerRunning: started, logger: logger)
        } catch {
            throw HoldfastError(
                .invalidInput, "cannot use the certificate '\(files.certificate)' with the key '\(files.key)'",
                hint: "Give files in PEM form that belong together", cause: error)
        }
    }

    /// All routes.
    package func router() -> Router<ServerContext> {
        let router = Router(context: ServerContext.self, options: [.autoGenerateHeadEndpoints])
        router.add(middleware: ErrorMiddleware())
        for hook in hooks { hook(router) }
        let limit = configuration.bodyLimit
        let parts = ServerParts(catalogue: catalogue, operations: operations, time: time, limit: limit)
        let open = Routes(parts: parts, router: router)
        TokenRoutes.add(to: open)
        MetricsRoutes.add(to: open, tokenFile: configuration.metricsTokenFile)
        let known = open.authenticated()
        UserRoutes.add(to: known)
        UserTokenRoutes.add(to: known)
        ReferenceRoutes.add(to: known)
        OrganizationRoutes.add(to: known)
        ProjectRoutes.add(to: known)
        SettingsRoutes.add(to: known)
        RetentionRoutes.add(to: known)
        ProjectAccessRoutes.add(to: known)
        EnvironmentRoutes.add(to: known)
        BackupRoutes.add(to: known)
        ActivityRoutes.add(to: known)
        VariableRoutes.add(to: known)
        return router
    }
}

/// What every handler may use.
struct ServerParts: Sendable {
    let catalogue: Catalogue
    let operations: any Operations
    let time: any TimeSource
    /// Bytes of a request's body.
    let limit: Int
}
