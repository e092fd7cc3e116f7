import Foundation
import HoldfastCatalogue
import HoldfastModel
import Hummingbird

/// What travels with a request through the router.
package struct ServerContext: RequestContext {
    package var coreContext: CoreRequestContextStorage
    /// Who it is; set by `AuthenticationMiddleware` and by nobody else.
    package var session: Session?

    package init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
    }
}

/// Adds handlers to the router: each under its path and under `/api` as well, where the hosted service has it.
struct Routes {
    let parts: ServerParts
    private let add: (RouterPath, Method, @escaping Handler) -> Void

    typealias Handler = @Sendable (Request, ServerContext) async throws -> Response
    private let router: Router<ServerContext>

    init(parts: ServerParts, router: Router<ServerContext>) {
        self.parts = parts
        self.router = router
        self.add = { path, method, handler in router.on(path, method: method.http, use: handler) }
    }

    private init(parts: ServerParts, router: Router<ServerContext>, group: RouterGroup<ServerContext>) {
        self.parts = parts
        self.router = router
        self.add = { path, method, handler in group.on(path, method: method.http, use: handler) }
    }

    /// Routes that only somebody with a good access token reaches.
    func authenticated() -> Routes {
        let catalogue = parts.catalogue
        let group = router.group("").add(middleware: AuthenticationMiddleware { try catalogue.authenticate($0) })
        return Routes(parts: parts, router: router, group: group)
    }

    /// A handler for anybody.
    func open(
        _ method: Method, _ path: String,
        _ handler: @escaping @Sendable (Input, ServerParts) throws -> Reply
    ) {
        let parts = parts
        add(RouterPath(path), method) { request, context in
            let input = try await Input(request, context, limit: parts.limit)
            return try await offPool { try handler(input, parts).response() }
        }
    }

    /// A handler for whoever shows the bearer token of that file; without a file there is no such path.
    func guarded(by file: String?, _ path: String, _ handler: @escaping @Sendable (ServerParts) throws -> Reply) {
        guard let file else { return }
        let parts = parts
        add(RouterPath(path), .get) { request, _ in
            let shown = Bearer.token(request.headers[.authorization])
            return try await offPool {
                try StaticToken.check(shown, file: file)
                return try handler(parts).response()
            }
        }
    }

    /// A handler for somebody who is known.
    func on(_ method: Method, _ path: String, _ handler: @escaping @Sendable (Call) throws -> Reply) {
        stream(method, path) { call in
            try await offPool { try handler(call).response() }
        }
    }

    /// A handler that waits, and so makes its response by itself.
    func stream(
        _ method: Method, _ path: String, _ handler: @escaping @Sendable (Call) async throws -> Response
    ) {
        let parts = parts
        for prefix in ["", "/api"] {
            add(RouterPath(prefix + path), method) { request, context in
                guard let session = context.session else {
                    throw HoldfastError(.unauthenticated, "no access token was shown")
                }
                let input = try await Input(request, context, limit: parts.limit)
                return try await handler(Call(parts: parts, session: session, input: input))
            }
        }
    }
}

/// Threads for handlers. Dispatch bounds their number; none of them belongs to Swift's cooperative pool.
private let handlerQueue = DispatchQueue(label: "api", attributes: .concurrent)

/// Runs blocking work away from the cooperative pool.
func offPool<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        handlerQueue.async { continuation.resume(with: Result { try work() }) }
    }
}
