import Foundation
import HoldfastGateway
import HoldfastTestSupport
import NIOCore
import Testing

private let limits = HTTPHeadParser.Limits(headBytes: 8192, targetBytes: 2048, fields: 64)

/// A request as far as it was read: head, body, trailers.
private struct Read: Equatable {
    var head: HTTPRequestHead
    var body: [UInt8]
    var trailers: HTTPFields
}

/// Feeds bytes in the given portions and reads as many requests as there are.
private func read(_ bytes: [UInt8], portions: [Int]) throws -> [Read] {
    var parser = HTTPHeadParser(limits: limits)
    var buffer = ByteBuffer()
    var rest = bytes[...]
    var portions = portions[...]
    var current: (head: HTTPRequestHead, reader: HTTPBodyReader, body: [UInt8])?
    var all: [Read] = []
    while true {
        if var open = current {
            switch try open.reader.next(from: &buffer) {
            case .data(let data):
                open.body += Array(data.readableBytesView)
                current = open
                continue
            case .end(let trailers):
                all.append(Read(head: open.head, body: open.body, trailers: trailers))
                current = nil
                continue
            case .needMore: current = open
            }
        } else if let head = try parser.request(from: &buffer) {
            current = (head, HTTPBodyReader(try HTTPFraming.of(head)), [])
            continue
        }
        guard !rest.isEmpty else { return all }
        let count = min(portions.popFirst() ?? rest.count, rest.count)
        buffer.writeBytes(rest.prefix(count))
        rest = rest.dropFirst(count)
    }
}

private let corpus = [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /x?y=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX-Empty:\r\nX-Pad: \t v \t\r\n\r\nhello",
    "\r\n\r\nPUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
        + "5;ext=\"q\"\r\nhello\r\n00a\r\n0123456789\r\n0\r\nX-T: 1\r\nX-U: 2\r\n\r\n",
    "PURGE /custom HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "POST /empty HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
]

@Suite struct HTTPParserTests {
    @Test(arguments: UInt64(1)...30)
    func `requests read the same however they are cut into pieces`(seed: UInt64) throws {
        let bytes = Array((corpus + corpus.reversed()).joined().utf8)
        let whole = try read(bytes, portions: [])
        #expect(whole.count == 10)
        #expect(whole[1].body == Array("hello".utf8))
        #expect(whole[1].head.fields.first("x-pad") == "v")
        #expect(whole[2].body == Array("hello0123456789".utf8))
        #expect(whole[2].trailers.first("x-u") == "2")
        var generator = SeededGenerator(seed: seed)
        let portions = bytes.map { _ in Int.random(in: 1...(seed == 1 ? 1 : 9), using: &generator) }
        #expect(try read(bytes, portions: portions) == whole)
    }

    @Test(arguments: UInt64(1)...60)
    func `damaged requests are read or refused, and what is read can be written safely`(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        for text in corpus {
            for _ in 0..<60 {
                var bytes = Array(text.utf8)
                for _ in 0..<Int.random(in: 1...4, using: &generator) {
                    let index = Int.random(in: 0..<bytes.count, using: &generator)
                    switch Int.random(in: 0..<3, using: &generator) {
                    case 0: bytes[index] = UInt8.random(in: 0...255, using: &generator)
                    case 1: bytes.insert([10, 13, 32, 58, 0, 48].randomElement(using: &generator) ?? 0, at: index)
                    default: if bytes.count > 1 { bytes.remove(at: index) }
                    }
                }
                guard let requests = try? read(bytes, portions: []) else { continue }
                for request in requests {
                    let texts =
                        [request.head.method, request.head.target]
                        + request.head.fields.list.flatMap { [$0.name, $0.value] }
                    let scalars = texts.joined().unicodeScalars
                    #expect(!scalars.contains { $0.value == 10 || $0.value == 13 || $0.value == 0 || $0.value > 255 })
                    let isChunked = request.head.fields.first("transfer-encoding") != nil
                    #expect(!(isChunked && request.head.fields.first("content-length") != nil))
                }
            }
        }
    }

    @Test func `bytes that are not ASCII pass as they are`() throws {
        var parser = HTTPHeadParser(limits: limits)
        var bytes = Array("GET /".utf8) + [0xe4, 0xff] + Array(" HTTP/1.1\r\nHost: a\r\nX-Name: ".utf8) + [0xfc, 0x80]
        bytes += Array("\r\n\r\n".utf8)
        var buffer = ByteBuffer(bytes: bytes)
        let head = try #require(try parser.request(from: &buffer))
        var written = ByteBuffer()
        written.write(head)
        #expect(Array(written.readableBytesView) == bytes)
    }

    @Test(arguments: ["", "g", "-1", "+1", "0x1", "1 2", "1_0", "1234567890123456", " 1", "1;\u{1}"])
    func `what is not the size of a chunk is refused`(size: String) {
        let text = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\(size)\r\na\r\n0\r\n\r\n"
        #expect(throws: HTTPProblem.self) { try read(Array(text.utf8), portions: []) }
    }

    @Test(arguments: [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "GET", HTTPFraming.length(5)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "GET", .length(5)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", .none),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "GET", .none),
        ("HTTP/1.1 304\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", .none),
        ("HTTP/1.0 200 OK\r\n\r\n", "GET", .untilClose),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", .chunked),
    ])
    func `the end of an answer is found as RFC 9112 says`(text: String, method: String, framing: HTTPFraming) throws {
        var parser = HTTPHeadParser(limits: .response)
        var buffer = ByteBuffer(string: text)
        let head = try #require(try parser.response(from: &buffer))
        #expect(try HTTPFraming.of(head, method: method) == framing)
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
    ])
    func `an answer whose end is not clear is refused`(text: String) {
        #expect(throws: HTTPProblem.self) {
            var parser = HTTPHeadParser(limits: .response)
            var buffer = ByteBuffer(string: text)
            let head = try #require(try parser.response(from: &buffer))
            _ = try HTTPFraming.of(head, method: "GET")
        }
    }
}
