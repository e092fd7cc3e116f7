import Foundation
import HTTPTypes
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel
import HoldfastServer
import Testing

@Suite struct KeepingTests {
    @Test func `a backup says why it is kept, and what was written on it`() async throws {
        let bench = try Bench()
        let backup = try bench.addBackup(of: bench.main)
        try await bench.serve { client async throws in
            let path = bench.path("/environments/main/backups/\(backup.id)")
            #expect(try await client.get(path).json["kept"] == ["newest good", "manual #1"])
            let written = try await client.send(.patch, path, #"{"label": "before 2.0", "note": "one\ntwo"}"#)
            #expect(written.status == 200, "\(written.text)")
            #expect(try await client.send(.patch, path, #"{"note": ""}"#).status == 200)
            let shown = try await client.get(path, as: "viewer").json
            #expect(shown["label"] == "before 2.0")
            #expect(shown["note"] == .null)
            let long = String(repeating: "x", count: 101)
            let refused = try await client.send(.patch, path, #"{"label": "\#(long)"}"#)
            #expect(refused.status == 400)
            #expect(refused.json["detail"]?["label"] != nil)
            #expect(try await client.send(.patch, path, #"{"label": "x"}"#, as: "viewer").status == 403)
        }
    }

    @Test func `a lock is not taken off, not made shorter, and does not end in the past`() async throws {
        let bench = try Bench()
        let backup = try bench.addBackup(of: bench.main)
        try await bench.serve { client async throws in
            let path = bench.path("/environments/main/backups/\(backup.id)")
            func lock(_ text: String) async throws -> Answer {
                try await client.post(path + "/protect", #"{"lock_until": "\#(text)"}"#)
            }
            #expect(try await client.post(path + "/protect", as: "viewer").status == 403)
            #expect(try await client.post(path + "/protect").status == 200)
            #expect(try await client.get(path).json["kept"] == ["protected", "newest good", "manual #1"])
            #expect(try await client.post(path + "/unprotect").status == 200)
            let past = try await lock("2001-01-01T00:00:00Z")
            #expect(past.status == 400)
            #expect(past.json["detail"]?["lock_until"] != nil)
            #expect(try await lock("2030-01-01T00:00:00Z").status == 200)
            #expect(try await lock("2029-01-01T00:00:00Z").status == 409)
            #expect(try await lock("2031-01-01T00:00:00Z").status == 200)
            let refused = try await client.post(path + "/unprotect")
            #expect(refused.status == 409)
            #expect(refused.message.contains("2031-01-01"))
        }
        let id = backup.id
        for force in [false, true] {
            #expect(throws: HoldfastError.self) {
                try bench.catalogue.deleteBackup(id, because: "x", force: force, at: bench.time.now())
            }
            #expect(throws: HoldfastError.self) {
                try bench.catalogue.markDeleting(id, force: force, at: bench.time.now())
            }
        }
        #expect(try bench.catalogue.backup(id).status == .created)
    }

    @Test func `how it is to be deleted is passed on`() async throws {
        let bench = try Bench()
        let backup = try bench.addBackup(of: bench.main)
        try await bench.serve { client async throws in
            let path = bench.path("/environments/main/backups/\(backup.id)")
            for query in ["", "?force=true", "?now=true", "?force=true&now=true"] {
                #expect(try await client.send(.delete, path + query).status == 202)
            }
        }
        let id = backup.id
        let expected: [OperationRequest] = [
            .deleteBackup(id), .deleteBackup(id, force: true), .deleteBackup(id, now: true),
            .deleteBackup(id, force: true, now: true),
        ]
        #expect(bench.operations.asked == expected)
    }

    @Test func `a deleted backup is listed apart, is not restored, and comes back as it was`() async throws {
        let bench = try Bench()
        let (old, new) = (try bench.addBackup(of: bench.main), try bench.addBackup(of: bench.main))
        try bench.catalogue.deleteBackup(old.id, because: "The manager deleted it", at: bench.time.now())
        try await bench.serve { client async throws in
            let list = bench.path("/environments/main/backups")
            let path = "\(list)/\(old.id)"
            #expect(try await client.get(list).items.map { $0["id"] } == [.string(new.id.rawValue)])
            #expect(try await client.get(bench.path("/backups")).items.count == 1)
            for place in [list, bench.path("/backups")] {
                let deleted = try await client.get("\(place)?deleted=true").items
                #expect(deleted.map { $0["id"] } == [.string(old.id.rawValue)])
                #expect(deleted.first?["deleted_because"] == "The manager deleted it")
            }
            let shown = try await client.get(path)
            #expect(shown.json["restorable"] == false)
            #expect(shown.links.contains("#undelete"))
            #expect(!shown.links.contains("#restore"))
            let environments = try await client.get(bench.path("/environments/main")).json
            #expect(environments["last_backup_at"] != .null)
            #expect(try await client.post(path + "/restore", "{}").status == 409)
            #expect(try await client.post(path + "/protect").status == 409)
            #expect(try await client.post(path + "/undelete", as: "viewer").status == 403)
            #expect(try await client.post(path + "/undelete").status == 200)
            #expect(try await client.post(path + "/undelete").status == 409)
            let back = try await client.get(path).json
            #expect(back["protected"] == false)
            #expect(back["kept"] == ["manual #2"])
            #expect(try await client.get(list).items.count == 2)
        }
    }

    @Test func `what the policy would delete again comes back protected`() async throws {
        let bench = try Bench()
        let (old, _) = (try bench.addBackup(of: bench.main), try bench.addBackup(of: bench.main))
        try bench.catalogue.deleteBackup(old.id, because: "x", at: bench.time.now())
        try await bench.serve { client async throws in
            let body = #"{"data_retention": {"production": {"default_config": {"manual_count": 1}}}}"#
            #expect(try await client.send(.patch, bench.path("/settings"), body).status == 200)
            let path = bench.path("/environments/main/backups/\(old.id)")
            #expect(try await client.post(path + "/undelete").status == 200)
            let back = try await client.get(path).json
            #expect(back["protected"] == true)
            #expect(back["kept"] == ["protected"])
        }
    }
}
