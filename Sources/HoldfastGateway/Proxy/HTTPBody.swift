import NIOCore

/// How the end of a body is found.
package enum HTTPFraming: Sendable, Equatable {
    case none
    case length(Int)
    case chunked
    /// The end of the connection is the end of the body; responses only.
    case untilClose

    /// The framing of a request (RFC 9112, 6.3). Refuses whatever two programs could read differently.
    package static func of(_ head: HTTPRequestHead) throws -> HTTPFraming {
        let lengths = head.fields["content-length"]
        let encodings = head.fields["transfer-encoding"]
        guard encodings.isEmpty else {
            guard lengths.isEmpty else { throw HTTPProblem(400, "a body has one length") }
            guard head.minorVersion >= 1 else { throw HTTPProblem(400, "HTTP/1.0 has no transfer-encoding") }
            guard encodings.count == 1, HTTPText.equal(encodings[0], "chunked") else {
                throw HTTPProblem(501, "no transfer-encoding but chunked is understood")
            }
            return .chunked
        }
        guard !lengths.isEmpty else { return .none }
        guard lengths.count == 1, let length = number(lengths[0]) else {
            throw HTTPProblem(400, "content-length is not one number")
        }
        return length == 0 ? .none : .length(length)
    }

    /// The framing of the response to a request of that method.
    package static func of(_ head: HTTPResponseHead, method: String) throws -> HTTPFraming {
        if method == "HEAD" || head.status / 100 == 1 || head.status == 204 || head.status == 304 { return .none }
        let lengths = head.fields["content-length"]
        let encodings = head.fields["transfer-encoding"]
        guard encodings.isEmpty else {
            guard lengths.isEmpty, encodings.count == 1, HTTPText.equal(encodings[0], "chunked") else {
                throw HTTPProblem(502, "the length of the app's answer is not clear")
            }
            return .chunked
        }
        guard let first = lengths.first else { return .untilClose }
        guard let length = number(first), lengths.allSatisfy({ $0 == first }) else {
            throw HTTPProblem(502, "the length of the app's answer is not clear")
        }
        return length == 0 ? .none : .length(length)
    }

    /// Digits only, at most 18: no sign, no space, no list.
    private static func number(_ text: String) -> Int? {
        let digits = text.utf8
        guard (1...18).contains(digits.count),
            digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
        else { return nil }
        return Int(text)
    }
}

/// Takes the parts of one body off a buffer.
package struct HTTPBodyReader {
    private var state: State
    private var trailerParser = HTTPHeadParser(limits: .init(headBytes: 16 << 10, targetBytes: 0, fields: 64))

    private enum State: Equatable {
        case plain(left: Int)
        case untilClose
        case chunkSize
        case chunk(left: Int)
        case chunkEnd
        case trailers
        case done
    }

    package enum Piece: Equatable {
        case needMore
        case data(ByteBuffer)
        case end(HTTPFields)
    }

    package init(_ framing: HTTPFraming) {
        state =
            switch framing {
            case .none: .done
            case .length(let length): .plain(left: length)
            case .chunked: .chunkSize
            case .untilClose: .untilClose
            }
    }

    package var endsWithConnection: Bool { state == .untilClose }

    /// The next part; `end` comes once the body is complete, and again at every further call.
    ///
    /// - Throws: `HTTPProblem` for chunks that are not ones.
    package mutating func next(from buffer: inout ByteBuffer) throws -> Piece {
        while true {
            switch state {
            case .done: return .end(HTTPFields())
            case .untilClose:
                return take(buffer.readableBytes, from: &buffer).map { .data($0) } ?? .needMore
            case .plain(let left):
                guard let data = take(left, from: &buffer) else { return .needMore }
                state = left == data.readableBytes ? .done : .plain(left: left - data.readableBytes)
                return .data(data)
            case .chunk(let left):
                guard let data = take(left, from: &buffer) else { return .needMore }
                state = left == data.readableBytes ? .chunkEnd : .chunk(left: left - data.readableBytes)
                return .data(data)
            case .chunkSize:
                guard let size = try takeChunkSize(from: &buffer) else { return .needMore }
                state = size == 0 ? .trailers : .chunk(left: size)
            case .chunkEnd:
                guard let end = buffer.readBytes(length: 2) else { return .needMore }
                guard end == [13, 10] else { throw HTTPProblem(400, "a chunk is longer than it says") }
                state = .chunkSize
            case .trailers:
                guard let trailers = try trailerParser.trailers(from: &buffer) else { return .needMore }
                state = .done
                return .end(trailers)
            }
        }
    }

    private func take(_ most: Int, from buffer: inout ByteBuffer) -> ByteBuffer? {
        guard buffer.readableBytes > 0 else { return nil }
        return buffer.readSlice(length: min(most, buffer.readableBytes))
    }

    /// Reads `1a;extension CR LF`; extensions are dropped.
    private func takeChunkSize(from buffer: inout ByteBuffer) throws -> Int? {
        let view = buffer.readableBytesView
        guard let end = view.firstIndex(of: 10) else {
            guard view.count <= 1024 else { throw HTTPProblem(400, "the size of a chunk is not one") }
            return nil
        }
        let line = view[..<end]
        guard line.last == 13, line.count <= 1024 else { throw HTTPProblem(400, "the size of a chunk is not one") }
        let digits = line.dropLast().prefix { $0 != UInt8(ascii: ";") && $0 != 0x20 && $0 != 0x09 }
        let rest = line.dropLast().dropFirst(digits.count)
        guard (1...15).contains(digits.count), digits.allSatisfy(Self.isHexadecimal),
            rest.allSatisfy({ $0 == 0x09 || ($0 >= 0x20 && $0 != 0x7f) }),
            rest.first(where: { $0 != 0x20 && $0 != 0x09 }).map({ $0 == UInt8(ascii: ";") }) ?? rest.isEmpty,
            let size = Int(String(decoding: digits, as: UTF8.self), radix: 16)
        else { throw HTTPProblem(400, "the size of a chunk is not one") }
        buffer.moveReaderIndex(forwardBy: view.distance(from: view.startIndex, to: end) + 1)
        return size
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
            UInt8(ascii: "A")...UInt8(ascii: "F"):
            true
        default: false
        }
    }
}

/// Frames of the chunked coding.
enum HTTPChunk {
    static let end = ByteBuffer(string: "\r\n")

    static func head(_ length: Int) -> ByteBuffer { ByteBuffer(string: String(length, radix: 16) + "\r\n") }

    static func last(_ trailers: HTTPFields) -> ByteBuffer {
        var buffer = ByteBuffer(string: "0\r\n")
        buffer.write(trailers)
        return buffer
    }
}
