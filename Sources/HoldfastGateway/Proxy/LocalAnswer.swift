import NIOCore

/// An answer that the gateway gives itself: a status and a line of text for people.
struct LocalAnswer {
    var status: Int
    var text: String
    var fields: [(name: String, value: String)] = []

    init(_ status: Int, _ text: String, fields: [(name: String, value: String)] = []) {
        self.status = status
        self.text = text
        self.fields = fields
    }

    static func unknownHost(_ host: HostName) -> LocalAnswer {
        LocalAnswer(404, "no environment answers for '\(host.description)' here")
    }

    static func redirect(to target: String, _ path: String) -> LocalAnswer {
        let base = target.hasSuffix("/") ? String(target.dropLast()) : target
        let location = base + (path == "*" ? "/" : path)
        return LocalAnswer(301, "it is at \(location)", fields: [("Location", location)])
    }

    static func refused(_ reason: GateRefusal) -> LocalAnswer {
        let text =
            switch reason {
            case .tooManyParked: "too many requests wait for the environment; this one was not carried out"
            case .tooManyBytes: "too much data waits for the environment; this request was not carried out"
            case .parkedTooLong: "the environment was held for too long; this request was not carried out"
            }
        return LocalAnswer(503, text, fields: [("Retry-After", reason == .parkedTooLong ? "5" : "2")])
    }

    static let noApp = LocalAnswer(
        502, "the app does not take connections; this request was not carried out", fields: [("Retry-After", "5")])
    static let broken = LocalAnswer(
        502, "the app ended the connection without an answer; whether it carried out the request is not known")
    static let late = LocalAnswer(
        504, "the app did not answer in time; whether it carried out the request is not known")

    /// - Parameter head: of the request; nil if it could not be read.
    func encoded(for head: HTTPRequestHead?, keepsAlive: Bool) -> ByteBuffer {
        let body = "\(status) \(Self.reasons[status] ?? "Error"): \(text)\n"
        var response = HTTPResponseHead(
            status: status, reason: Self.reasons[status] ?? "Error", minorVersion: 1, fields: HTTPFields())
        response.fields.add("Content-Type", "text/plain; charset=utf-8")
        response.fields.add("Content-Length", String(body.utf8.count))
        response.fields.add("X-Content-Type-Options", "nosniff")
        response.fields.add("Cache-Control", "no-store")
        for (name, value) in fields { response.fields.add(name, value) }
        if !keepsAlive {
            response.fields.add("Connection", "close")
        } else if head?.minorVersion == 0 {
            response.fields.add("Connection", "keep-alive")
        }
        var buffer = ByteBuffer()
        buffer.write(response)
        if head?.method != "HEAD" { buffer.writeString(body) }
        return buffer
    }

    private static let reasons = [
        301: "Moved Permanently", 400: "Bad Request", 404: "Not Found", 408: "Request Timeout",
        414: "URI Too Long", 417: "Expectation Failed", 431: "Request Header Fields Too Large",
        501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
        505: "HTTP Version Not Supported",
    ]
}
