import AsyncHTTPClient
import Foundation
import HoldfastAPI
import HoldfastModel

/// The error that an answer with a status other than 2xx tells of.
///
/// Holdfast's own servers name the kind; otherwise it follows from the status. The text comes from `message`,
/// `detail`, `title` or `error_description`, whichever is there first.
func answerError(status: Int, body: Data) -> HoldfastError {
    let json = (try? JSONDecoder().decode(JSONValue.self, from: body)) ?? .null
    let code = json["kind"]?.string.flatMap(HoldfastError.Code.init(rawValue:)) ?? errorCode(status: status)
    var message = ["message", "detail", "title", "error_description", "error"].lazy
        .compactMap { json[$0]?.string }.first { !$0.isEmpty }
    if case .object(let properties)? = json["detail"], !properties.isEmpty {
        let said = json["message"]?.string ?? ""
        let texts = properties.sorted { $0.key < $1.key }.compactMap { key, value -> String? in
            let problem = value.string ?? "not accepted"
            // Holdfast's own servers say all of it in the message too.
            return said.contains(key) && said.contains(problem) ? nil : "\(key): \(problem)"
        }
        message = ((said.isEmpty ? [] : [said]) + texts).joined(separator: "; ")
    }
    let hint = json["hint"]?.string ?? json["error_hint"]?.string
    return HoldfastError(code, message ?? "the server answered with HTTP status \(status)", hint: hint)
}

private func errorCode(status: Int) -> HoldfastError.Code {
    switch status {
    case 401: .unauthenticated
    case 403: .forbidden
    case 404, 410: .notFound
    case 409: .conflict
    case 408, 504: .timedOut
    case 423: .locked
    case 429, 502, 503: .unavailable
    case 501: .unsupported
    case 507: .noSpace
    case 400..<500: .invalidInput
    default: .internalFault
    }
}

/// The error for a request that got no answer.
func transportError(_ error: any Error, server: ServerAddress) -> HoldfastError {
    if let known = error as? HoldfastError { return known }
    if error is CancellationError { return HoldfastError(.cancelled, "the request to \(server) was cancelled") }
    guard let failure = error as? HTTPClientError else {
        return HoldfastError(
            .unavailable, "cannot reach the server at \(server)",
            hint: "Start it with `holdfast serve`, or name another one with --url or HOLDFAST_URL")
    }
    switch failure {
    case .cancelled:
        return HoldfastError(.cancelled, "the request to \(server) was cancelled")
    case .connectTimeout:
        return HoldfastError(
            .unavailable, "the server at \(server) cannot be connected to in time",
            hint: "Start it with `holdfast serve`, or name another one with --url or HOLDFAST_URL")
    case .deadlineExceeded, .readTimeout:
        return HoldfastError(
            .timedOut, "the server at \(server) did not answer in time", hint: "Try again, and look at its log")
    case .remoteConnectionClosed:
        return HoldfastError(
            .unavailable, "the server at \(server) closed the connection before it answered",
            hint: "Try again, and look at its log")
    default:
        return HoldfastError(
            .unavailable, "the request to \(server) failed: \(failure.shortDescription)",
            hint: "Check the address in --url or HOLDFAST_URL")
    }
}
