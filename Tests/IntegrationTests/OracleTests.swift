import Foundation
import HoldfastDemo
import HoldfastModel
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

    private func figures(_ file: String) throws -> Any {
        try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: file)))
    }

    @Test func `backups under full load hold the same events in all places, live ones differ within their skew`() throws
    {
        let file = NSTemporaryDirectory() + "hf-oracle-\(UInt32.random(in: 0 ... .max)).json"
        defer { try? FileManager.default.removeItem(atPath: file) }
        let said = try run(["oracle", "--rounds", "2", "--live", "1", "--output", file])
        #expect(said.contains("0 differing sets"), "\(said)")
        let figures = try figures(file) as? [String: Any]
        for (key, value) in [
            ("rounds", 2), ("live", 1), ("differing_sets", 0), ("dropped", 0), ("refused", 0), ("executed_twice", 0),
        ] { #expect(figures?[key] as? Int == value, "\(key): \(said)") }
        #expect((figures?["requests_held"] as? Int ?? 0) > 0)
        #expect((figures?["services"] as? [String])?.count == 7)
    }

    @Test func `a cron's event may only differ in a live backup if the cron may have run between the marks`() throws {
        let text = """
            {"version": "1", "database": [[1, "a", "request"], [2, "cron-x", "cron"]], "file": [[3, "b", "request"]],
             "places": {}, "tally": [], "duplicates": []}
            """
        let ledger = try JSONDecoder().decode(LedgerSets.self, from: Data(text.utf8))
        let cron = try #require(ledger.database.first { $0.kind == "cron" })
        func at(_ seconds: Double) -> Date { Date(timeIntervalSince1970: 1_000_000 + seconds) }
        let skew = LiveSkew(firstMarkAt: at(100), lastMarkAt: at(101), order: [])
        func may(_ lower: Double, _ higher: Double) -> Bool {
            let answered = [
                "a": (sentAt: at(lower), endedAt: at(lower + 1)), "b": (sentAt: at(higher - 1), endedAt: at(higher)),
            ]
            return ledger.mayHaveRun(cron: cron, within: skew, answered: answered)
        }
        #expect(may(99, 102) && may(50, 60))
        // Drawn after the last mark; everywhere before the first one.
        #expect(!may(102, 105) && !may(30, 39))
        #expect(ledger.mayHaveRun(cron: cron, within: skew, answered: [:]))
    }

    @Test func `the benchmark of the hold gives a row with its keys, and drops no request`() throws {
        let file = NSTemporaryDirectory() + "hf-hold-\(UInt32.random(in: 0 ... .max)).json"
        defer { try? FileManager.default.removeItem(atPath: file) }
        let wanted = [
            "bench-hold", "--files", "1000", "--database-mb", "1", "--filesystem", NSTemporaryDirectory(), "--n", "2",
            "--output", file,
        ]
        _ = try run(wanted)
        let written = try Data(contentsOf: URL(fileURLWithPath: file))
        // A row that is there is not measured again.
        _ = try run(wanted + ["--resume"])
        #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == written)
        let row = try #require((figures(file) as? [[String: Any]])?.first)
        #expect(row["files"] as? Int == 1000 && row["database_mb"] as? Int == 1 && row["n"] as? Int == 2)
        #expect(row["dropped"] as? Int == 0 && row["refused"] as? Int == 0)
        #expect((row["requests_held"] as? Int ?? 0) > 0)
        #expect((row["services"] as? [String])?.first?.hasPrefix("postgresql") == true)
        #expect(Set((row["mark_ms_p50"] as? [String: Double] ?? [:]).keys) == ["db", "ledger/files", "ledger/journal"])
        let holds = try ["hold_ms_p50", "hold_ms_p99", "hold_ms_max"].map { try #require(row[$0] as? Double) }
        #expect(holds == holds.sorted() && holds[0] > 0 && holds[2] < 15_000)
    }
}
