import Foundation
import HoldfastAPI
import HoldfastModel
import HoldfastServer
import Testing

/// Policies and locks that reach further than anybody can mean.
@Suite struct PolicyLimitTests {
    private static let large = [
        ("1y", 1_000_000), ("100y", 1_000_000), ("4M", 1_000_000), ("1y", 7990), ("1w", 1_000_000),
    ]

    @Test(arguments: large) func `a policy that reaches further than a thousand years is refused`(
        interval: String, count: Int
    ) async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            let retention =
                #"{"production": {"default_config": {"schedule": [{"interval": "\#(interval)", "count": \#(count)}]}}}"#
            let answer = try await client.send(
                .patch, bench.path("/settings"), #"{"data_retention": \#(retention)}"#)
            #expect(answer.status == 400, "\(answer.text)")
            #expect(answer.text.contains("production.default_config.schedule.0.count"))
            let preview = try await client.post(
                bench.path("/environments/main/retention/preview"), #"{"data_retention": \#(retention)}"#)
            #expect(preview.status == 400)
        }
    }

    /// It ended the whole process: a policy that an older version had let in, and the first backup that it took.
    @Test(arguments: large) func `one that is set already is shown, without a date that there is not`(
        interval: String, count: Int
    ) async throws {
        let bench = try Bench()
        try bench.catalogue.updateRetention(of: bench.project.id) { _ in
            var settings = RetentionSettings(changedAt: bench.time.now())
            settings[.production].schedule = [RetentionSettings.Schedule(interval: interval, count: count)]
            return settings
        }
        var backup = Backup(
            id: .random(), environment: bench.main, safe: false, automated: true,
            commit: String(repeating: "a", count: 40), deployment: "d", snapshot: String(repeating: "e", count: 64),
            sizes: (10, 5), sites: [SitePlacement(site: "one", isComplete: true)], evidence: (nil, nil),
            createdAt: bench.time.now(), updatedAt: bench.time.now())
        backup.keeping.claims = [SlotClaim(interval: interval, slot: 1)]
        try bench.catalogue.insertBackup(backup)
        let id = backup.id
        try await bench.serve { client async throws in
            let path = bench.path("/environments/main")
            for target in ["\(path)/backups", "\(path)/backups/\(id)", "\(path)/retention"] {
                let answer = try await client.get(target)
                #expect(answer.status == 200, "\(target)")
            }
            let shown = try await client.get("\(path)/backups/\(id)").json
            #expect(shown["kept"] == .array([.string("newest good"), .string("\(interval) #1")]))
            #expect(shown["expires_at"] == .null)
        }
    }

    @Test func `a simulation needs more than the role of a viewer, and ends before it begins if it is too long`()
        async throws
    {
        let bench = try Bench()
        let body = """
            {"days": 36525, "data_retention": {"production": {"default_config": \
            {"schedule": [{"interval": "1h", "count": 1000000}]}}}}
            """
        try await bench.serve { client async throws in
            let path = bench.path("/environments/main/retention/preview")
            #expect(try await client.post(path, #"{"days": 30}"#, as: "viewer").status == 403)
            #expect(try await client.post(path, "{}", as: "viewer").status == 200)
            #expect(try await client.post(path, #"{"days": 30}"#, as: "producer").status == 200)
            let long = try await client.post(path, body)
            #expect(long.status == 400)
            #expect(long.text.contains("too many steps"), "\(long.text)")
        }
    }

    @Test func `a lock that can only be a mistake is refused`() async throws {
        let bench = try Bench()
        let backup = try bench.addBackup(of: bench.main)
        try await bench.serve { client async throws in
            let path = bench.path("/environments/main/backups/\(backup.id)/protect")
            let refused = try await client.post(path, #"{"lock_until": "2300-01-01T00:00:00Z"}"#)
            #expect(refused.status == 400)
            #expect(refused.json["detail"]?["lock_until"] != nil)
            #expect(try bench.catalogue.backup(backup.id).keeping.lockedUntil == nil)
            #expect(try await client.post(path, #"{"lock_until": "2033-11-01T00:00:00Z"}"#).status == 200)
        }
    }

    @Test func `while the clock is wrong a lock is not taken off, and the policy says that nothing is deleted`()
        async throws
    {
        let bench = try Bench()
        let backup = try bench.addBackup(of: bench.main)
        try bench.catalogue.protectBackup(
            backup.id, true, lockedUntil: bench.time.now().addingTimeInterval(3600), at: bench.time.now())
        try await bench.serve { client async throws in
            let retention = bench.path("/environments/main/retention")
            #expect(try await client.get(retention).json["warnings"] == [])
            bench.time.advance(86_400)
            bench.operations.clockError.withLock { $0 = 86_400 }
            let path = bench.path("/environments/main/backups/\(backup.id)")
            #expect(try await client.post(path + "/unprotect").status == 409)
            let warned = try await client.get(retention).text
            #expect(warned.contains("the clock has jumped by 86400 seconds"), "\(warned)")
            bench.operations.clockError.withLock { $0 = 0 }
            #expect(try await client.post(path + "/unprotect").status == 200)
        }
    }

    @Test func `a change of one type's policy hides nothing that is overdue in another`() async throws {
        let bench = try Bench()
        try await bench.serve { client async throws in
            func overdue() async throws -> JSONValue? {
                try await client.get(bench.path("/environments/main/retention")).json["overdue_seconds"]
            }
            bench.time.advance(3 * 86_400)
            let before = try await overdue()
            #expect(before != 0)
            let change = #"{"data_retention": {"staging": {"max_backups": 9}}}"#
            #expect(try await client.send(.patch, bench.path("/settings"), change).status == 200)
            #expect(try await overdue() == before)
        }
    }
}
