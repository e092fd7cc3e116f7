import Foundation
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel

/// `/oauth2`: exchanges API tokens for access tokens (RFC 6749, with the grant type `api_token` of the contract).
///
/// Clients name themselves in the body, by HTTP Basic, or not at all; nothing depends on which client it is.
enum TokenRoutes {
    static func add(to routes: Routes) {
        routes.open(.post, "/oauth2/token", exchange)
        routes.open(.post, "/oauth2/revoke", revoke)
    }

    private static func exchange(_ input: Input, _ parts: ServerParts) throws -> Reply {
        let form = try input.form()
        guard form["grant_type"] == "api_token" else {
            let given = form["grant_type"].map { "'\($0.prefix(40))'" } ?? "missing"
            return try refusal("unsupported_grant_type", "The grant type is \(given), and only api_token is known")
        }
        do {
            let access = try parts.catalogue.exchange(Secret(form["api_token"] ?? ""))
            let body = API.TokenResponse(accessToken: access.reveal(), expiresIn: Catalogue.accessTokenLifetime)
            return try answer(body, 200)
        } catch let error as HoldfastError where error.code == .unauthenticated {
            return try refusal("invalid_grant", "Invalid API token", hint: error.hint)
        }
    }

    /// 200 for whatever was shown: whether it was a token is nobody's business (RFC 7009, section 2.2).
    private static func revoke(_ input: Input, _ parts: ServerParts) throws -> Reply {
        if let token = try input.form()["token"] { try parts.catalogue.revoke(Secret(token)) }
        return try answer([String: String](), 200)
    }

    private static func refusal(_ error: String, _ description: String, hint: String? = nil) throws -> Reply {
        try answer(API.TokenError(error: error, description: description, hint: hint), 400)
    }

    private static func answer(_ body: some Encodable, _ status: Int) throws -> Reply {
        var reply = try Reply.json(body, status)
        reply.headers["Cache-Control"] = "no-store"
        return reply
    }
}
