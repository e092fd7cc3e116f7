import Foundation
import HoldfastModel

/// Statements to an InfluxDB server, with all rights.
struct InfluxDBSession {
    /// Who has all rights. Its password is thrown away: it shows a token that the server's shared secret signs.
    static let superuser = "holdfast"
    private static let tokenSeconds = 300

    private let server: LoopbackHTTP
    private let name: String
    private let secret: Secret
    private let time: any TimeSource

    /// - Parameter secret: the one that the server shares with us.
    init(_ instance: ServiceInstance, secret: Secret, time: any TimeSource) {
        name = "service '\(instance.name)'"
        server = LoopbackHTTP(port: instance.port, name: name, time: time)
        self.secret = secret
        self.time = time
    }

    /// Makes the user with all rights if the server has nobody yet, which it lets everybody do once.
    func bootstrap(timeout: Duration) throws {
        if try ask("SHOW DATABASES", withToken: true, timeout: timeout).status == 200 { return }
        let password = ServicePasswords.random()
        let text = "CREATE USER \"\(Self.superuser)\" WITH PASSWORD '\(password.reveal())' WITH ALL PRIVILEGES"
        try check(try ask(text, withToken: false, timeout: timeout))
    }

    /// - Throws: `system` with what the server says.
    func run(_ statement: String, timeout: Duration) throws {
        try check(try ask(statement, withToken: true, timeout: timeout))
    }

    /// What the server finds wrong with a statement; nil if it was carried out.
    private struct Answer: Decodable {
        struct Result: Decodable { var error: String? }
        var results: [Result]?
        var error: String?
    }

    private func check(_ answer: LoopbackHTTP.Answer) throws {
        let said = try? JSONDecoder().decode(Answer.self, from: Data(answer.body))
        let fault = said?.error ?? said?.results?.compactMap(\.error).first
        guard answer.status == 200, said != nil, fault == nil else {
            throw HoldfastError(
                .system, "\(name) refused a statement: \(fault ?? "status \(answer.status)")",
                hint: "Read the service's log")
        }
    }

    private func ask(_ statement: String, withToken: Bool, timeout: Duration) throws -> LoopbackHTTP.Answer {
        let plain = CharacterSet.alphanumerics
        let body = "q=" + (statement.addingPercentEncoding(withAllowedCharacters: plain) ?? "")
        var fields = ["Content-Type": "application/x-www-form-urlencoded"]
        if withToken { fields["Authorization"] = "Bearer \(try token())" }
        return try server.ask("POST", "/query", fields: fields, body: Array(body.utf8), timeout: timeout)
    }

    /// A JSON web token (RFC 7519), signed with HS256.
    private func token() throws -> String {
        let expiry = Int(time.now().timeIntervalSince1970) + Self.tokenSeconds
        let parts = ["{\"alg\":\"HS256\",\"typ\":\"JWT\"}", "{\"exp\":\(expiry),\"username\":\"\(Self.superuser)\"}"]
        let message = parts.map { Self.base64(Array($0.utf8)) }.joined(separator: ".")
        return message + "." + Self.base64(SecretDigest.signature(of: Array(message.utf8), key: secret))
    }

    /// Base64 for URLs, without padding (RFC 4648, section 5).
    private static func base64(_ bytes: [UInt8]) -> String {
        Data(bytes).base64EncodedString().replacingOccurrences(of: "+", with: "-")
            .replacingOccurrences(of: "/", with: "_").replacingOccurrences(of: "=", with: "")
    }
}
