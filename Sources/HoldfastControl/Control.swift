import CHoldfastSystem
import Foundation
import HoldfastModel

// HoldfastControl: the wire between serve, gateway and supervise on one machine.
//
// Frames over Unix stream sockets: four bytes of length, big endian, then that many bytes of JSON.
// Both sides look at the other's credentials: only root and our own user are spoken to. Everything runs on plain
// threads, so that no reply ever waits for a cooperative pool that is busy; a connection's end is a message too.

/// Limits of the wire.
package enum Control {
    /// Which messages this binary knows. Raise it with every message that is added, or that means something else: the
    /// processes of an installation are not all replaced at the same moment. Their status answers with it; those from
    /// before 1 with nothing. Whatever else changes, the status must stay readable.
    package static let version = 1
    /// Bytes of one frame's body at most.
    package static let maximumFrame = 16 << 20
    /// Bytes of a Unix socket's path at most.
    package static let maximumPath = 107

    /// What is to be done about a process that does not know the same messages as this one.
    ///
    /// - Parameters:
    ///   - what: such as `The gateway`.
    ///   - version: what it says; nil if it is older than the first one.
    /// - Returns: sentences for people; nil if it knows the same.
    package static func versionProblem(_ what: String, _ version: Int?, _ pid: Int32?) -> String? {
        guard version != Self.version else { return nil }
        let age = (version ?? 0) < Self.version ? "an older" : "a newer"
        let process = pid.map { " (process \($0))" } ?? ""
        return "\(what)\(process) runs \(age) version of holdfast than the control plane: messages \(version ?? 0), "
            + "here \(Self.version). Send it a SIGTERM, and the one that is installed takes its place."
    }

    static func encoder() -> JSONEncoder {
        let encoder = JSONEncoder()
        encoder.dateEncodingStrategy = .secondsSince1970
        encoder.outputFormatting = [.withoutEscapingSlashes]
        return encoder
    }

    static func decoder() -> JSONDecoder {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .secondsSince1970
        return decoder
    }

    /// A message as a frame's body.
    package static func encode(_ message: some Encodable) throws -> Data { try encoder().encode(message) }

    /// A frame's body as a message.
    ///
    /// - Throws: `invalidInput` if it is not one.
    package static func decode<Message: Decodable>(_ type: Message.Type = Message.self, from body: Data) throws
        -> Message
    {
        do {
            return try decoder().decode(type, from: body)
        } catch {
            throw HoldfastError(
                .invalidInput, "the message is not a \(type)", hint: "Use the same holdfast on both sides",
                cause: error)
        }
    }

    /// The body that stands for an error.
    package static func encode(error: any Error) -> Data {
        let failure = ControlFailure(error: ControlFailure.Body(error))
        return (try? encode(failure)) ?? Data(#"{"error":{"code":"internalFault","message":"no message"}}"#.utf8)
    }
}

/// `{"error":{"code","message","hint"}}`
struct ControlFailure: Codable {
    struct Body: Codable {
        var code: HoldfastError.Code
        var message: String
        var hint: String?

        init(_ error: any Error) {
            guard let error = error as? HoldfastError else {
                code = .internalFault
                message = String(describing: error)
                return
            }
            code = error.code
            // The cause is not sent as a thing of its own: its text is all that the other side can use.
            message = error.cause.map { "\(error.message): \($0)" } ?? error.message
            hint = error.hint
        }
    }
    var error: Body

    var holdfastError: HoldfastError { HoldfastError(error.code, error.message, hint: error.hint) }
}

/// Frames on one connected socket. Not synchronised: one reader and one writer at a time.
struct FrameStream {
    let descriptor: Int32

    /// The next frame's body; nil if the other side ended the connection between two frames.
    ///
    /// - Parameter timeout: nil waits for ever for a frame to begin. A frame that began has to go on within 10 s.
    /// - Throws: `timedOut`, `damaged` for a torn or oversized frame.
    func read(timeout: Duration?) throws -> Data? {
        guard let header = try readExactly(4, first: timeout, isBody: false) else { return nil }
        let length = header.reduce(0) { $0 << 8 | Int($1) }
        guard length <= Control.maximumFrame else {
            throw HoldfastError(
                .damaged, "a control frame of \(length) bytes is larger than \(Control.maximumFrame)")
        }
        if length == 0 { return Data() }
        guard let body = try readExactly(length, first: timeout ?? Self.stall, isBody: true) else { return nil }
        return Data(body)
    }

    func write(_ body: Data, timeout: Duration) throws {
        guard body.count <= Control.maximumFrame else {
            throw HoldfastError(
                .invalidInput, "a control message of \(body.count) bytes is larger than \(Control.maximumFrame)")
        }
        var frame = Data(capacity: body.count + 4)
        for shift in [24, 16, 8, 0] { frame.append(UInt8(truncatingIfNeeded: body.count >> shift)) }
        frame.append(body)
        var offset = 0
        while offset < frame.count {
            try wait(for: Int16(POLLOUT), timeout)
            let count = frame.withUnsafeBytes { buffer in
                send(
                    descriptor, buffer.baseAddress?.advanced(by: offset), frame.count - offset,
                    Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            }
            if count > 0 {
                offset += count
            } else if errno != EINTR && errno != EAGAIN {
                throw HoldfastError(.unavailable, "the control connection broke (\(String(cString: strerror(errno))))")
            }
        }
    }

    /// How long the other side may stop in the middle of a frame.
    private static let stall = Duration.seconds(10)

    private func readExactly(_ count: Int, first: Duration?, isBody: Bool) throws -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var offset = 0
        while offset < count {
            try wait(for: Int16(POLLIN), offset == 0 ? first : Self.stall)
            let result = bytes.withUnsafeMutableBytes { buffer in
                recv(descriptor, buffer.baseAddress?.advanced(by: offset), count - offset, Int32(MSG_DONTWAIT))
            }
            if result > 0 {
                offset += result
            } else if result == 0 {
                if offset == 0 && !isBody { return nil }
                throw HoldfastError(.damaged, "the control connection ended in the middle of a frame")
            } else if errno == ECONNRESET && offset == 0 && !isBody {
                return nil
            } else if errno != EINTR && errno != EAGAIN {
                throw HoldfastError(.unavailable, "the control connection broke (\(String(cString: strerror(errno))))")
            }
        }
        return bytes
    }

    private func wait(for events: Int16, _ timeout: Duration?) throws {
        var poller = pollfd(fd: descriptor, events: events, revents: 0)
        while true {
            let limit = timeout.map { Int32(clamping: max(0, $0.wholeMilliseconds)) } ?? -1
            let result = poll(&poller, 1, limit)
            if result > 0 { return }
            if result == 0 {
                throw HoldfastError(.timedOut, "no answer on the control connection within \(limit) ms")
            }
            guard errno == EINTR else {
                throw HoldfastError(.system, "cannot wait for a control connection (errno \(errno))")
            }
        }
    }
}

extension Duration {
    var wholeMilliseconds: Int64 {
        let parts = components
        let seconds = parts.seconds.multipliedReportingOverflow(by: 1000)
        return seconds.overflow ? .max : seconds.partialValue + parts.attoseconds / 1_000_000_000_000_000
    }
}

/// Who is on the other side of a connected Unix socket.
struct Peer {
    let pid: pid_t
    let uid: uid_t

    init(of descriptor: Int32) throws {
        var pid: pid_t = 0
        var uid: uid_t = 0
        var gid: gid_t = 0
        let result = holdfast_peer(descriptor, &pid, &uid, &gid)
        guard result == 0 else {
            throw HoldfastError(.system, "cannot see who is on a control connection (errno \(-result))")
        }
        self.pid = pid
        self.uid = uid
    }

    /// Root, and who we are ourselves.
    var isTrusted: Bool { Self.isTrusted(uid: uid, own: geteuid()) }

    static func isTrusted(uid: uid_t, own: uid_t) -> Bool { uid == 0 || uid == own }
}
