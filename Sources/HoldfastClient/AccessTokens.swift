import AsyncHTTPClient
import Foundation
import HoldfastAPI
import HoldfastModel
import NIOCore
import NIOHTTP1

/// Keeps the access token that an API token was exchanged for, and gets a new one when it is over.
actor AccessTokens {
    struct Grant: Sendable {
        var token: Secret
        /// Seconds it is good for.
        var lifetime: Int
    }

    private let time: any TimeSource
    private let exchange: @Sendable () async throws -> Grant
    private var held: (token: Secret, endsAt: UInt64)?

    init(time: any TimeSource, exchange: @escaping @Sendable () async throws -> Grant) {
        self.time = time
        self.exchange = exchange
    }

    /// A token that should be good for some seconds more.
    func current() async throws -> Secret {
        if let held, held.endsAt > time.monotonicNanoseconds() { return held.token }
        return try await renew()
    }

    /// A token other than the one that was refused; if somebody else got a new one meanwhile, that one.
    func renewed(after refused: Secret) async throws -> Secret {
        if let held, held.token != refused { return held.token }
        return try await renew()
    }

    private func renew() async throws -> Secret {
        let grant = try await exchange()
        let margin = min(10, max(0, grant.lifetime / 4))
        let lifetime = UInt64(max(0, grant.lifetime - margin)) * 1_000_000_000
        held = (grant.token, time.monotonicNanoseconds() + lifetime)
        return grant.token
    }
}

extension APIClient {
    /// `POST /oauth2/token` with the grant `api_token` (research: Upsun's OAuth2 contract).
    static func exchange(
        _ token: Secret, at server: ServerAddress, over http: HTTPClient, limits: Limits
    ) async throws -> AccessTokens.Grant {
        var request = HTTPClientRequest(url: server.url(for: "/oauth2/token"))
        request.method = .POST
        request.headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
        request.headers.add(name: "Accept", value: "application/json")
        request.headers.add(name: "User-Agent", value: "holdfast")
        let form = "client_id=holdfast-cli&grant_type=api_token&api_token=\(ServerAddress.escape(token.reveal()))"
        request.body = .bytes(ByteBuffer(string: form))
        let answer = try await execute(request, over: http, server: server, limits: limits)
        if answer.status == 400 || answer.status == 401 {
            let refusal = try? API.decoder().decode(API.TokenError.self, from: answer.body)
            throw HoldfastError(
                .unauthenticated, refusal?.errorDescription ?? "the server at \(server) did not accept the API token",
                hint: "Set HOLDFAST_TOKEN to a token that `holdfast token:create` printed for this server")
        }
        let grant: API.TokenResponse = try answer.checked().decode()
        return AccessTokens.Grant(token: Secret(grant.accessToken), lifetime: grant.expiresIn)
    }
}
