import Foundation
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel
import Hummingbird

/// An activity's log as newline-delimited JSON, kept open until the activity has ended.
///
/// The seal is sent only after the final state is committed: clients read the activity in a tight loop once they have
/// seen it. A stream that ends without the seal means that the server stopped; clients then ask again.
struct LogStream: Sendable {
    let catalogue: Catalogue
    let activity: ActivityID

    func response() -> Response {
        let head = Reply(
            status: 200, headers: ["Content-Type": "application/x-ndjson", "Cache-Control": "no-store"], body: Data())
        var response = head.response()
        response.body = ResponseBody { writer in try await write(to: &writer) }
        return response
    }

    @concurrent private func write(to writer: inout any ResponseBodyWriter) async throws {
        // Watch first, read then: nothing falls between.
        var changes = catalogue.feed.changes(of: activity).makeAsyncIterator()
        var sequence = 0
        while true {
            let page = try await page(after: sequence)
            if !page.lines.isEmpty { try await writer.write(try encode(page.lines)) }
            sequence = page.lines.last?.sequence ?? sequence
            if page.isLast {
                try await writer.write(Self.line(API.LogItem(sealOf: activity)))
                break
            }
            if page.isFull { continue }
            guard await changes.next() != nil else { break }
        }
        try await writer.finish(nil)
    }

    private struct Page: Sendable {
        var lines: [ActivityLogLine]
        var isFull: Bool
        /// The activity had ended before these lines were read, so there are none after them.
        var isLast: Bool
    }

    private func page(after sequence: Int) async throws -> Page {
        let (catalogue, activity) = (catalogue, activity)
        return try await offPool {
            let limit = 500
            let hasEnded = try !catalogue.activity(activity).state.isOpen
            let lines = try catalogue.log(of: activity, after: sequence, limit: limit)
            let isFull = lines.count == limit
            return Page(lines: lines, isFull: isFull, isLast: hasEnded && !isFull)
        }
    }

    private func encode(_ lines: [ActivityLogLine]) throws -> ByteBuffer {
        var buffer = ByteBuffer()
        for line in lines { buffer.writeImmutableBuffer(try Self.line(API.LogItem(line, of: activity))) }
        return buffer
    }

    private static func line(_ item: API.LogItem) throws -> ByteBuffer {
        var bytes = try API.encoder().encode(item)
        bytes.append(UInt8(ascii: "\n"))
        return ByteBuffer(bytes: bytes)
    }
}
