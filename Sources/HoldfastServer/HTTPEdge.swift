import Foundation
import HTTPTypes
import HoldfastCatalogue
import HoldfastModel
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore

// Where our values meet the HTTP library's: methods, statuses and headers are named here and nowhere else.

enum Method {
    case get
    case post
    case patch
    case delete

    var http: HTTPRequest.Method {
        switch self {
        case .get: .get
        case .post: .post
        case .patch: .patch
        case .delete: .delete
        }
    }
}

/// HTTP/1.1 without TLS. Connections on which nobody asks anything for so long are closed; a log stream that is
/// silent is not one of them.
func plainServer() -> HTTPServerBuilder { .http1(configuration: .init(idleTimeout: .seconds(90))) }

/// Tells which port a server has got.
func announce(to onRunning: @escaping @Sendable (Int) -> Void) -> @concurrent @Sendable (any Channel) async -> Void {
    { channel in onRunning(channel.localAddress?.port ?? 0) }
}

/// A status of HTTP, such as 200.
enum Status {
    static func http(_ code: Int) -> HTTPResponse.Status {
        HTTPResponse.Status(code: code, reasonPhrase: phrase(code))
    }

    /// In words, for those that we send.
    static func phrase(_ code: Int) -> String {
        switch code {
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 204: "No Content"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 409: "Conflict"
        case 413: "Content Too Large"
        case 501: "Not Implemented"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 507: "Insufficient Storage"
        default: code < 500 ? "Request Failed" : "Internal Server Error"
        }
    }

    /// Of an error of the HTTP library; nil for other errors.
    static func code(of error: any Error) -> Int? { (error as? any HTTPResponseError)?.status.code }
}

extension Reply {
    func response() -> Response {
        var fields = HTTPFields()
        for (name, value) in headers {
            if let name = HTTPField.Name(name) { fields[name] = value }
        }
        return Response(
            status: Status.http(status), headers: fields, body: ResponseBody(byteBuffer: ByteBuffer(bytes: body)))
    }
}

extension Input {
    /// Reads a request whole.
    ///
    /// - Throws: 413 if the body is larger than `limit` bytes.
    init(_ request: Request, _ context: ServerContext, limit: Int) async throws {
        let buffer = try await request.body.collect(upTo: limit)
        let parameters = context.parameters.map { (name: String($0.key), value: String($0.value)) }
        try self.init(body: Data(buffer.readableBytesView), query: request.uri.query ?? "", parameters: parameters)
    }
}

/// Lets only those in who show a good access token, and says who they are.
struct AuthenticationMiddleware: RouterMiddleware {
    let authenticate: @Sendable (Secret) throws -> Session

    @concurrent func handle(
        _ request: Request, context: ServerContext, next: @concurrent (Request, ServerContext) async throws -> Response
    ) async throws -> Response {
        let authenticate = authenticate
        guard let token = Bearer.token(request.headers[.authorization]) else {
            throw HoldfastError(
                .unauthenticated, "no access token was shown", hint: "Exchange an API token at /oauth2/token")
        }
        var context = context
        context.session = try await offPool { try authenticate(token) }
        return try await next(request, context)
    }
}

/// Turns every error into the contract's JSON.
struct ErrorMiddleware: RouterMiddleware {
    @concurrent func handle(
        _ request: Request, context: ServerContext, next: @concurrent (Request, ServerContext) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            let reply = try ErrorReply(error).reply()
            if reply.status >= 500 {
                context.logger.error("request failed", metadata: ["error": "\(error)", "path": "\(request.uri.path)"])
            }
            return reply.response()
        }
    }
}
