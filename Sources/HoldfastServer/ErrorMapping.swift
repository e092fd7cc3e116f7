import Foundation
import HoldfastAPI
import HoldfastModel

/// An error on its way out: the only place that knows which status goes with which error.
struct ErrorReply {
    private var body: API.ErrorBody
    private var status: Int

    init(_ error: any Error) {
        switch error {
        case let error as HoldfastError: self.init(error, detail: (error.cause as? InputFaults)?.faults)
        case let error as DecodingError:
            let (path, problem) = Self.explain(error)
            let place = path.isEmpty ? "the body" : "'\(path)'"
            self.init(
                HoldfastError(.invalidInput, "\(place): \(problem)"), detail: path.isEmpty ? nil : [path: problem])
        default:
            if let status = Status.code(of: error) {
                self.init(status: status)
            } else {
                let fault = HoldfastError(.internalFault, "the request failed for a reason that is in the log")
                self.init(fault, detail: nil)
            }
        }
    }

    private init(_ error: HoldfastError, detail: [String: String]?) {
        status = Self.status(of: error.code)
        body = API.ErrorBody(
            message: error.message, code: status, title: Status.phrase(status), kind: error.code.rawValue,
            hint: error.hint)
        body.detail = detail
    }

    /// Errors of the HTTP library: no such path, a body that is too big.
    private init(status: Int) {
        self.status = status
        let title = Status.phrase(status)
        let message = status == 404 ? "there is nothing at this address" : title.lowercased()
        let kind: HoldfastError.Code = status == 404 ? .notFound : .invalidInput
        body = API.ErrorBody(message: message, code: status, title: title, kind: kind.rawValue, hint: nil)
    }

    func reply() throws -> Reply {
        var reply = try Reply.json(body, status)
        if status == 401 {
            reply.headers["WWW-Authenticate"] = #"Bearer realm="holdfast", error="invalid_token""#
        }
        if status == 503 { reply.headers["Retry-After"] = "1" }
        return reply
    }

    /// 401 is for bad tokens only: clients throw their token away and try again when they see it.
    private static func status(of code: HoldfastError.Code) -> Int {
        switch code {
        case .invalidInput: 400
        case .notFound: 404
        case .conflict, .cancelled: 409
        case .unauthenticated: 401
        case .forbidden: 403
        case .unavailable, .locked: 503
        case .timedOut: 504
        case .unsupported: 501
        case .noSpace: 507
        case .damaged, .wrongPassword, .system, .internalFault: 500
        }
    }

    private static func explain(_ error: DecodingError) -> (path: String, problem: String) {
        func name(_ path: [any CodingKey]) -> String {
            path.map { $0.intValue.map(String.init) ?? Self.wireName($0.stringValue) }.joined(separator: ".")
        }
        switch error {
        case .typeMismatch(let type, let context):
            return (name(context.codingPath), "should be of the type \(wireType(type))")
        case .valueNotFound(let type, let context):
            return (name(context.codingPath), "should be of the type \(wireType(type)) and not null")
        case .keyNotFound(let key, let context): return (name(context.codingPath + [key]), "is missing")
        case .dataCorrupted(let context) where context.codingPath.isEmpty: return ("", "is not valid JSON")
        case .dataCorrupted(let context): return (name(context.codingPath), context.debugDescription)
        @unknown default: return ("", "cannot be read")
        }
    }

    private static func wireName(_ key: String) -> String {
        key.reduce(into: "") { $0 += $1.isUppercase ? "_" + $1.lowercased() : String($1) }
    }

    private static func wireType(_ type: any Any.Type) -> String {
        switch type {
        case is Bool.Type: "boolean"
        case is String.Type, is Date.Type: "string"
        case is any BinaryInteger.Type, is Double.Type: "number"
        default: "\(type)".hasPrefix("Array") ? "array" : "object"
        }
    }
}
