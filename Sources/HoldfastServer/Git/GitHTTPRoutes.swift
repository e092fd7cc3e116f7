import Foundation
import HTTPTypes
import HoldfastCatalogue
import HoldfastModel
import Hummingbird
import Logging
import NIOCore

/// Fetch and push by Git's smart HTTP protocol: `/<project id>.git`, and `/git/<project id>.git` as well. The API token
/// is the password of HTTP's basic authentication. The old protocol, which asks for single files, is not there.
package struct GitHTTPRoutes: Sendable {
    private let access: GitAccess
    private let backend: any GitBackend
    private let places: GitPlaces
    private let stall: Duration

    /// - Parameters:
    ///   - limit: how many requests run at once; a push runs until it is deployed.
    ///   - stall: for so long nothing may move in a request.
    package init(
        access: GitAccess, backend: any GitBackend, limit: Int = 32, stall: Duration = .seconds(900)
    ) {
        self.access = access
        self.backend = backend
        self.places = GitPlaces(limit: limit)
        self.stall = stall
    }

    /// Adds the three endpoints.
    package func add(to router: Router<ServerContext>) {
        for prefix in ["", "/git"] {
            let repository = "\(prefix)/{project}.git"
            router.on(RouterPath("\(repository)/info/refs"), method: .get) { request, context in
                let name = request.uri.queryParameters["service"].map(String.init)
                return try await self.answer(request, context, name.flatMap(GitService.init), isAdvertisement: true)
            }
            for service in GitService.allCases {
                router.on(RouterPath("\(repository)/\(service.rawValue)"), method: .post) { request, context in
                    try await self.answer(request, context, service, isAdvertisement: false)
                }
            }
        }
    }

    private func answer(
        _ request: Request, _ context: ServerContext, _ service: GitService?, isAdvertisement: Bool
    ) async throws -> Response {
        do {
            guard let service else {
                throw HoldfastError(
                    .notFound, "there is nothing at this address", hint: "Use a Git that speaks smart HTTP")
            }
            let conversation = try await begin(request, context, service, isAdvertisement: isAdvertisement)
            return try await conversation.response(to: request.body)
        } catch let error as CancellationError {
            throw error
        } catch {
            if (error as? HoldfastError)?.code == .system {
                context.logger.error("git over HTTP failed", metadata: ["error": "\(error)"])
            }
            return try Self.refusal(error)
        }
    }

    private func begin(
        _ request: Request, _ context: ServerContext, _ service: GitService, isAdvertisement: Bool
    ) async throws -> GitConversation {
        let authorization = request.headers[.authorization]
        let name = context.parameters.get("project") ?? ""
        let encoding = try Self.encoding(request.headers[.contentEncoding])
        let version = Self.version(HTTPField.Name("Git-Protocol").flatMap { request.headers[$0] })
        let type = request.headers[.contentType]
        let length = request.headers[.contentLength].flatMap { Int($0) }
        let (access, backend, places, stall) = (access, backend, places, stall)
        return try await offPool {
            let session = try access.authenticate(authorization)
            guard let project = ProjectID(name) else {
                throw HoldfastError(.notFound, "there is no project '\(name.prefix(80))'")
            }
            try access.check(service, on: project, by: session)
            let place = try places.take()
            let exchange = try backend.start(
                GitRequest(
                    project: project, service: service, isAdvertisement: isAdvertisement, session: session,
                    contentType: type, contentEncoding: encoding, contentLength: length, protocolVersion: version))
            return GitConversation(
                exchange: exchange, isPush: service == .receivePack && !isAdvertisement, stall: stall, place: place)
        }
    }

    /// Git's own program unpacks gzip, and nothing else.
    private static func encoding(_ header: String?) throws -> String? {
        switch header?.lowercased() {
        case nil, "", "identity": return nil
        case "gzip", "x-gzip": return "gzip"
        default: throw HoldfastError(.invalidInput, "a body can be encoded as gzip only")
        }
    }

    /// Keys and versions, such as `version=2`; anything else is as if it were not there.
    private static func version(_ header: String?) -> String? {
        guard let header, (1...100).contains(header.utf8.count) else { return nil }
        let isPlain = header.utf8.allSatisfy { byte in
            (97...122).contains(byte) || (48...57).contains(byte) || [45, 58, 61].contains(byte)
        }
        return isPlain ? header : nil
    }

    /// Git shows plain text to its user, line by line, and asks for a password when the answer is 401.
    private static func refusal(_ error: any Error) throws -> Response {
        var reply = try ErrorReply(error).reply()
        let known = error as? HoldfastError
        let lines = [known?.message ?? "the request failed for a reason that is in the log", known?.hint]
        reply.body = Data(lines.compactMap(\.self).map { $0 + "\n" }.joined().utf8)
        reply.headers["Content-Type"] = "text/plain; charset=utf-8"
        reply.headers["Cache-Control"] = "no-store"
        if reply.status == 401 { reply.headers["WWW-Authenticate"] = #"Basic realm="holdfast", charset="UTF-8""# }
        return reply.response()
    }
}
