import HoldfastModel

/// One request to a server of ours on a loopback port.
package struct LoopbackHTTP: Sendable {
    package struct Answer: Sendable {
        package var status: Int
        /// Names in lower case.
        package var fields: [String: String]
        package var body: [UInt8]
    }

    let port: Int
    /// What errors call the server.
    let name: String
    let time: any TimeSource

    package init(port: Int, name: String, time: any TimeSource) {
        self.port = port
        self.name = name
        self.time = time
    }

    /// Sends a request and reads the whole answer.
    ///
    /// - Parameters:
    ///   - path: with its query, escaped.
    ///   - fields: further header fields; `Content-Length` is set.
    /// - Throws: `unavailable` if nobody listens or the connection breaks, `timedOut`, `damaged` for what is no HTTP.
    package func ask(
        _ method: String, _ path: String, fields: [String: String] = [:], body: [UInt8] = [], timeout: Duration
    ) throws -> Answer {
        let socket = try LineSocket(.port(port), name: name, time: time)
        defer { socket.close() }
        let deadline = Deadline(after: timeout, time: time)
        // 1.0: the answer ends with the connection, and is not in chunks.
        var head = "\(method) \(path) HTTP/1.0\r\nHost: 127.0.0.1:\(port)\r\nContent-Length: \(body.count)\r\n"
        head += "Connection: close\r\n"
        for (field, value) in fields.sorted(by: { $0.key < $1.key }) { head += "\(field): \(value)\r\n" }
        try socket.send(Array((head + "\r\n").utf8) + body, deadline)
        let words = try socket.line(deadline).split(separator: " ")
        guard words.count > 1, words[0].hasPrefix("HTTP/"), let status = Int(words[1]) else {
            throw HoldfastError(.damaged, "\(name) does not speak HTTP")
        }
        var answer = Answer(status: status, fields: [:], body: [])
        while true {
            let line = try socket.line(deadline)
            if line.isEmpty { break }
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2, answer.fields.count < 100 else { continue }
            answer.fields[parts[0].lowercased()] = String(parts[1].drop { $0 == " " })
        }
        answer.body = try socket.rest(deadline)
        return answer
    }
}
