import Foundation
import HoldfastDemo
import HoldfastModel
import Testing

/// Environments with services of every kind, from the push to the restore.
@Suite(.serialized)
struct Services {
    /// A server of which one process cannot be stopped until somebody opens `gate`: it waits, as the kernel does for a
    /// disk, for a child that waits for that.
    private static let stuck = """
        services:
          stuck:
            type: binary
            configuration:
              start: "exec python3 -c \\"$CODE\\""
              variables:
                CODE: |
                  import os, socket, time
                  if os.path.exists("gate"):
                      os.unlink("gate")
                  os.mkfifo("gate")
                  if os.fork() == 0:
                      wait = [(os.POSIX_SPAWN_OPEN, 0, "gate", os.O_RDONLY, 0)]
                      os.posix_spawn("/bin/true", ["true"], {}, file_actions=wait)
                      time.sleep(1000)
                      os._exit(0)
                  server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
                  while True:
                      server.accept()[0].close()
              exclude: [gate]

        """

    /// An app that serves the files which the ledger writes. Its name is before the ledger's in every order.
    private static let archive = """
          archive:
            type: "python:3.11"
            mounts:
              "shared": { source: service, service: store, source_path: "files" }
            web: { commands: { start: "exec /usr/bin/python3 -m http.server $PORT --bind 127.0.0.1" } }

        """

    /// Every place has the same events.
    private func equal(_ installation: Installation) throws -> (events: Set<String>, caches: [String: Int]) {
        let found = try installation.everywhere()
        let events = try #require(found.sets["database"])
        #expect(Set(found.sets.keys) == Set(LedgerServices.lasting + ["database", "file", "journal"]))
        for (place, ids) in found.sets { #expect(ids == events, "\(place)") }
        #expect(Set(found.caches.keys) == Set(LedgerServices.caches))
        return (events, found.caches)
    }

    @Test func `a backup under requests has the same events in every service, and a restore brings them all back`()
        throws
    {
        let installation = try Installation.withLedger { try LedgerServices.add(to: $0) }
        defer { installation.end() }
        let load = try Load(installation)
        Thread.sleep(forTimeInterval: 1)
        try installation.must("backup:create", "-p", installation.project, "-e", "main", "-y")
        let log = try installation.backupLog()
        let hold = try #require(log.split(separator: "\n").first { $0.contains("held ") }, "\(log)")
        #expect(hold.contains(", consistent"), "\(hold)")
        let result = try load.end()
        #expect(result.refused == [:])
        #expect(try installation.post("later") == 201)
        let before = try equal(installation)
        #expect(result.accepted.subtracting(before.events) == [])
        #expect(before.caches.values.allSatisfy { $0 >= result.accepted.count }, "\(before.caches)")

        try installation.must("backup:restore", "-p", installation.project, "-e", "main", "-y")
        let after = try equal(installation)
        #expect(!after.events.isEmpty && after.events.isStrictSubset(of: before.events))
        #expect(!after.events.contains("later"))
        // Stale answers would contradict the restored data.
        #expect(after.caches.values.allSatisfy { $0 == 0 }, "\(after.caches)")
        #expect(try installation.post("afterwards") == 201)
        #expect(try equal(installation).events == after.events.union(["afterwards"]))
        installation.note("services: \(before.events.count) events, \(after.events.count) in the backup, \(hold)")
    }

    @Test func `serve killed while a service stands still: the service goes on at once, and the next backup is good`()
        throws
    {
        let installation = try Installation.withLedger { checkout in
            try editConfiguration(checkout) { $0.replacingOccurrences(of: "\nservices:\n", with: "\n" + Self.stuck) }
        }
        defer { installation.end() }
        let id = (try installation.environmentDirectory as NSString).lastPathComponent
        func states() throws -> [String] {
            let outcome = try Installation.run("/bin/ps", ["-u", "hf-\(id)", "-o", "state=,args="])
            return outcome.output.split(separator: "\n").filter {
                $0.contains("mkfifo") || $0.contains("create_server")
            }
            .map { String($0.prefix(1)) }
        }
        // The server, the process that waits, and the child that it waits for.
        func allRun() throws -> Bool { try states().count == 3 && !states().contains("T") }
        try #require(try installation.waitUntil(seconds: 10, allRun))
        try installation.must("backup:create", "-p", installation.project, "-e", "main", "-y", "--no-wait")
        try #require(try installation.waitUntil(seconds: 60) { try states().contains("T") }, "nothing was frozen")
        installation.killServer()
        // The bound on a service's freeze is 10 s; this is the guard, which sees that its parent has ended.
        #expect(try installation.waitUntil(seconds: 5, allRun))
        #expect(try installation.postDirect("after-the-kill") == 201)
        let current = try installation.current()
        let service = try #require(current.services["stuck"])
        let gate = try FileHandle(
            forWritingTo: URL(fileURLWithPath: "\(installation.environmentDirectory)/\(service.directory)/data/gate"))
        try gate.close()
        try installation.start()
        #expect(try installation.backups() == [])
        try installation.must("backup:create", "-p", installation.project, "-e", "main", "-y")
        #expect(try installation.backups().count == 1)
    }

    @Test func `two apps share a network storage, which is no process, and a backup and a restore bring it back once`()
        throws
    {
        let installation = try Installation.withLedger { checkout in
            try editConfiguration(checkout) { text in
                text.replacingOccurrences(
                    of: "source: storage\n        source_path: \"files\"",
                    with: "source: service\n        service: store\n        source_path: \"files\""
                ).replacingOccurrences(
                    of: "\nservices:\n", with: "\nservices:\n  store:\n    type: \"network-storage:1.0\"\n")
            }
        }
        defer { installation.end() }
        #expect(try installation.post("alone") == 201)
        // The second app joins later, and finds what is there.
        let joined = try installation.push { checkout in
            try editConfiguration(checkout) { text in
                text.replacingOccurrences(of: "\napplications:\n", with: "\napplications:\n" + Self.archive)
                    + "  \"https://{default}/shared/\":\n    type: upstream\n    upstream: \"archive:http\"\n"
            }
        }
        try #require(joined.status == 0, "\(joined.errors)")
        #expect(try installation.post("kept") == 201)
        func read() throws -> String { try installation.get("shared/events.log").output }
        let shared = try read()
        #expect(shared.contains("alone") && shared.contains("kept"), "\(shared)")
        #expect(try installation.current().services.keys.sorted() == ["db"])
        let deployment = try installation.must(
            "project:curl", "environments/main/deployments/current", "-p", installation.project)
        #expect(deployment.contains("network-storage:1.0"), "\(deployment)")

        try installation.must("backup:create", "-p", installation.project, "-e", "main", "-y")
        let log = try installation.backupLog()
        // This one, and the ledger's journal.
        #expect(log.components(separatedBy: "Pre-copied mount ").count == 3, "\(log)")
        #expect(try installation.post("later") == 201)
        try installation.must("backup:restore", "-p", installation.project, "-e", "main", "-y")
        let mounts = try installation.current().mounts
        let directory = try #require(mounts["archive"]?["shared"])
        #expect(directory.hasPrefix("mounts/store/") && mounts["ledger"]?["files"] == directory)
        let restored = try read()
        #expect(restored.contains("kept") && !restored.contains("later"), "\(restored)")
        #expect(try installation.post("afterwards") == 201)
        #expect(try read().contains("afterwards"))
    }
}
