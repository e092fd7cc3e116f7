import Foundation
import Testing

/// Short runs of what `make oracle` and `make bench-hold` do at length.
@Suite(.serialized)
struct OracleTests {
    private static let program = (Installation.binary as NSString).deletingLastPathComponent + "/HoldfastProof"

    private func run(_ arguments: [String]) throws -> String {
        let places = ["--binary", Installation.binary, "--example", Installation.exampleDirectory]
        let outcome = try Installation.run(Self.program, arguments + places)
        #expect(outcome.status == 0, "\(outcome.output) \(outcome.errors)")
        return outcome.output
    }

    @Test func `backups under full load hold the same events in all places, live ones differ within their skew`() throws
    {
        let said = try run(["oracle", "--rounds", "3", "--live", "2"])
        #expect(said.contains("Equal in all 3 consistent backups"), "\(said)")
        #expect(said.components(separatedBy: "all within the recorded skew").count == 3, "\(said)")
    }

    @Test func `the benchmark of the hold gives a row with its keys, and drops no request`() throws {
        let file = NSTemporaryDirectory() + "hf-hold-\(UInt32.random(in: 0 ... .max)).json"
        defer { try? FileManager.default.removeItem(atPath: file) }
        _ = try run([
            "bench-hold", "--files", "1000", "--database-mb", "1", "--filesystem", NSTemporaryDirectory(), "--n", "2",
            "--output", file,
        ])
        let rows = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: file)))
        let row = try #require((rows as? [[String: Any]])?.first)
        #expect(row["files"] as? Int == 1000 && row["database_mb"] as? Int == 1 && row["n"] as? Int == 2)
        #expect(row["dropped"] as? Int == 0 && row["refused"] as? Int == 0)
        #expect((row["requests_held"] as? Int ?? 0) > 0)
        #expect((row["services"] as? [String])?.first?.hasPrefix("postgresql") == true)
        let figures = try ["hold_ms_p50", "hold_ms_p99", "hold_ms_max"].map { try #require(row[$0] as? Double) }
        #expect(figures == figures.sorted() && figures[0] > 0 && figures[2] < 15_000)
    }
}
