import AsyncHTTPClient
import Foundation
import HoldfastModel
import NIOCore

/// A POST to a server that is none of ours: no token is sent, no redirect followed, and nothing but the status read.
package enum WebhookCall {
    /// - Parameters:
    ///   - url: may hold secrets behind its host; errors name the host alone.
    ///   - timeout: for all of it.
    /// - Returns: the status.
    /// - Throws: `unavailable` if there is no answer, `timedOut` if it comes too late.
    package static func post(
        _ body: Data, to url: String, headers: [(name: String, value: String)], timeout: Duration = .seconds(20)
    ) async throws -> Int {
        let host = URL(string: url)?.host ?? "the webhook"
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
        configuration.timeout = .init(connect: .seconds(5))
        configuration.httpVersion = .http1Only
        configuration.connectionPool.retryConnectionEstablishment = false
        do {
            return try await HTTPClient.withHTTPClient(configuration: configuration) { http in
                var request = HTTPClientRequest(url: url)
                request.method = .POST
                request.headers.add(name: "User-Agent", value: "holdfast")
                for (name, value) in headers { request.headers.add(name: name, value: value) }
                request.body = .bytes(ByteBuffer(bytes: body))
                return Int(try await http.execute(request, timeout: TimeAmount(timeout)).status.code)
            }
        } catch let error as HTTPClientError where error == .deadlineExceeded || error == .connectTimeout {
            throw HoldfastError(.timedOut, "\(host) did not answer in time")
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            // Their text may repeat the address, and with it what must not be told.
            throw HoldfastError(.unavailable, "\(host) cannot be reached (\(type(of: error)))")
        }
    }
}
