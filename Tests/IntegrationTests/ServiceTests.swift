import Foundation
import HoldfastModel
import Testing

/// Environments with services of every kind, from the push to the restore.
@Suite(.serialized)
struct Services {
    private static let services = """
        services:
          sql:
            type: "mariadb:10.11"
          keys:
            type: "redis-persistent:7.0"
          queue:
            type: "rabbitmq:3.10"
          session:
            type: "redis:7.0"
          cache:
            type: "memcached:1.6"

        """
    private static let names = ["cache", "keys", "queue", "session", "sql"]

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

    private func deploy(_ services: String, edit changes: (String) -> String = { $0 }) throws -> Installation {
        let installation = try Installation()
        do {
            try installation.start()
            try installation.createProject()
            let outcome = try installation.push { checkout in
                try editConfiguration(checkout) { text in
                    changes(text).replacingOccurrences(of: "\nservices:\n", with: "\n" + services)
                }
            }
            guard outcome.status == 0 else { throw Unexpected("the push failed: \(outcome.errors)") }
        } catch {
            installation.end()
            throw error
        }
        return installation
    }

    /// The requests' events by place, and the number of events in each cache.
    private func everywhere(_ installation: Installation) throws -> (sets: [String: Set<String>], caches: [String: Int])
    {
        let answer = try installation.get("sets").output
        let object = try #require(
            try JSONSerialization.jsonObject(with: Data(answer.utf8)) as? [String: Any], "\(answer)")
        func ids(_ value: Any?) -> Set<String> {
            Set((value as? [[Any]] ?? []).filter { $0.last as? String == "request" }.compactMap { $0[1] as? String })
        }
        var sets = (object["places"] as? [String: Any] ?? [:]).mapValues { ids($0) }
        for name in ["database", "file"] { sets[name] = ids(object[name]) }
        return (sets, object["caches"] as? [String: Int] ?? [:])
    }

    /// Every place has the same events.
    private func equal(_ installation: Installation) throws -> (events: Set<String>, caches: [String: Int]) {
        let found = try everywhere(installation)
        let events = try #require(found.sets["database"])
        #expect(found.sets.keys.filter { ["sql", "keys", "queue", "file"].contains($0) }.count == 4)
        for (place, ids) in found.sets { #expect(ids == events, "\(place)") }
        #expect(found.caches.count == 2)
        return (events, found.caches)
    }

    @Test func `a backup under requests has the same events in every service, and a restore brings them all back`()
        throws
    {
        let installation = try deploy(Self.services) { text in
            let relationships = Self.names.map { "      \($0): \"\($0)\"\n" }.joined()
            return text.replacingOccurrences(of: "    relationships:\n", with: "    relationships:\n" + relationships)
                .replacingOccurrences(of: "-m ledger.web", with: "-m ledger.services")
        }
        defer { installation.end() }
        let load = try Load(installation)
        Thread.sleep(forTimeInterval: 1)
        try installation.must("backup:create", "-p", installation.project, "-e", "main", "-y")
        let log = try installation.must("activity:log", "-p", installation.project, "-e", "main")
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
        let installation = try deploy(Self.stuck)
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
}
