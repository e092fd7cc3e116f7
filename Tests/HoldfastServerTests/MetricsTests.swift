import Foundation
import HTTPTypes
import HoldfastModel
import HoldfastServer
import Testing

extension Client {
    fileprivate func get(_ path: String, bearer token: String) async throws -> Answer {
        try await send(.get, path, "", headers: [.authorization: "Bearer \(token)"])
    }
}

@Suite struct MetricsTests {
    private let file: String

    init() throws {
        file = NSTemporaryDirectory() + "holdfast-metrics-" + UUID().uuidString
        try Data("a token of some length\n".utf8).write(to: URL(fileURLWithPath: file))
    }

    @Test func `without a token of its own there is no such path, whoever asks`() async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            #expect(try await client.get("/metrics", as: "operator").status == 404)
            #expect(try await client.get("/metrics", as: nil).status == 404)
        }
    }

    @Test func `its token opens it and nothing else, and no other token opens it`() async throws {
        defer { try? FileManager.default.removeItem(atPath: file) }
        let bench = try Bench()
        let backup = try bench.addBackup(of: bench.main)
        let file = file
        try await bench.serve(metricsTokenFile: file) { client async throws in
            for token in ["a token of some lengt", "a token of some lengthy", "", "x"] {
                #expect(try await client.get("/metrics", bearer: token).status == 401, "\(token)")
            }
            #expect(try await client.get("/metrics", as: "operator").status == 401)
            #expect(try await client.get("/metrics", as: nil).status == 401)
            #expect(try await client.get("/projects", bearer: "a token of some length").status == 401)
            let answer = try await client.get("/metrics", bearer: "a token of some length")
            #expect(answer.status == 200)
            #expect(answer.headers[.contentType] == "text/plain; version=0.0.4; charset=utf-8")
            let labels = #"{project="\#(bench.project.id)",environment="main",type="production"}"#
            let time = Int(backup.createdAt.timeIntervalSince1970)
            #expect(answer.text.contains("backup_last_success_timestamp_seconds\(labels) \(time)\n"), "\(answer.text)")
            for name in [
                "backup_overdue_seconds", "backup_attempts_total", "backup_failures_total", "backup_last_size_bytes",
            ] {
                #expect(answer.text.contains("\(name)\(labels) "), "\(name)")
                #expect(answer.text.components(separatedBy: "# TYPE \(name) ").count == 2, "\(name)")
            }
        }
    }

    @Test func `a token that is too short or gone opens nothing, and a new one needs no restart`() async throws {
        defer { try? FileManager.default.removeItem(atPath: file) }
        let bench = try Bench()
        let file = file
        try await bench.serve(metricsTokenFile: file) { client async throws in
            try Data("short\n".utf8).write(to: URL(fileURLWithPath: file))
            #expect(try await client.get("/metrics", bearer: "short").status == 503)
            try FileManager.default.removeItem(atPath: file)
            #expect(try await client.get("/metrics", bearer: "a token of some length").status == 503)
            try Data("another token of some length".utf8).write(to: URL(fileURLWithPath: file))
            #expect(try await client.get("/metrics", bearer: "a token of some length").status == 401)
            #expect(try await client.get("/metrics", bearer: "another token of some length").status == 200)
        }
    }
}
