import Foundation
import HoldfastModel
import Testing

/// Clients that write events without a pause, through the gateway, until they are told to end.
final class Load {
    struct Result {
        let accepted: Set<String>
        /// Status -> how often, for all that is not 201; 0 stands for no answer at all.
        let refused: [String: Int]
        let longestSeconds: Double
    }

    private static let script = """
        import http.client, json, os, sys, threading, time
        host, port, stop, clients = sys.argv[1], int(sys.argv[2]), sys.argv[3], 4
        lock, accepted, refused, longest = threading.Lock(), [], {}, [0.0]
        def client(number):
            count = 0
            while not os.path.exists(stop):
                count += 1
                name = "load-%d-%d" % (number, count)
                began = time.monotonic()
                try:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                    connection.request("POST", "/events", b"x", {"Host": host, "X-Event-Id": name})
                    status = connection.getresponse().status
                    connection.close()
                except Exception as error:
                    status = 0
                with lock:
                    longest[0] = max(longest[0], time.monotonic() - began)
                    if status == 201: accepted.append(name)
                    else: refused[str(status)] = refused.get(str(status), 0) + 1
                time.sleep(0.02)
        threads = [threading.Thread(target=client, args=(n,)) for n in range(clients)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        json.dump({"accepted": accepted, "refused": refused, "longest": longest[0]}, open(stop + ".result", "w"))
        """

    private let process = Process()
    private let stop: String

    init(_ installation: Installation) throws {
        stop = "\(installation.home)/load-\(UInt32.random(in: 0 ... .max))"
        let address = try #require(URLComponents(string: try installation.addressFromState()))
        process.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        process.arguments = [
            "-c", Self.script, "\(address.host ?? ""):\(installation.gatewayPort)", "\(installation.gatewayPort)", stop,
        ]
        try process.run()
    }

    func end() throws -> Result {
        FileManager.default.createFile(atPath: stop, contents: nil)
        process.waitUntilExit()
        let data = try Data(contentsOf: URL(fileURLWithPath: stop + ".result"))
        let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        return Result(
            accepted: Set(object["accepted"] as? [String] ?? []), refused: object["refused"] as? [String: Int] ?? [:],
            longestSeconds: object["longest"] as? Double ?? -1)
    }
}

/// Changes a checkout's configuration.
func editConfiguration(_ checkout: String, _ changes: (String) -> String) throws {
    let path = "\(checkout)/.upsun/config.yaml"
    let text = try String(contentsOfFile: path, encoding: .utf8)
    let changed = changes(text)
    #expect(changed != text)
    try changed.write(toFile: path, atomically: true, encoding: .utf8)
}

/// What clients notice when an environment moves to other code or data.
@Suite(.serialized)
struct Switches {
    private static let start = "exec /usr/bin/python3 -u -m ledger.web"

    private func withoutDeployHook(_ text: String) -> String {
        text.replacingOccurrences(of: "      deploy: |\n        /usr/bin/python3 -m ledger.schema\n", with: "")
    }

    private func ledger(hasHook: Bool = true) throws -> Installation {
        let installation = try Installation.withLedger()
        guard !hasHook else { return installation }
        let outcome = try installation.push { try editConfiguration($0, withoutDeployHook) }
        guard outcome.status == 0 else { throw Unexpected("the push failed: \(outcome.errors)") }
        return installation
    }

    private func isWhole(_ installation: Installation, _ result: Load.Result) throws {
        #expect(result.refused == [:])
        #expect(result.accepted.count > 10)
        let sets = try installation.sets()
        #expect(sets.database == sets.file)
        #expect(result.accepted.subtracting(sets.database) == [])
    }

    @Test(arguments: [true, false])
    func `a redeploy under load refuses no request and loses no event`(hasHook: Bool) throws {
        let installation = try ledger(hasHook: hasHook)
        defer { installation.end() }
        let before = try installation.current()
        let load = try Load(installation)
        Thread.sleep(forTimeInterval: 1)
        var logs: [String] = []
        for _ in 1...3 {
            let outcome = try installation.holdfast(
                "environment:redeploy", "-p", installation.project, "-e", "main", "-y")
            #expect(outcome.status == 0, "\(outcome.errors)")
            logs.append(outcome.output + outcome.errors)
        }
        let result = try load.end()
        try isWhole(installation, result)
        let after = try installation.current()
        #expect(after.apps != before.apps)
        #expect(after.services == before.services)
        for log in logs { #expect(log.contains("beside the live one") == !hasHook, "\(log)") }
        let held = logs.flatMap { $0.split(separator: "\n") }.filter { $0.contains("held") }
        #expect(held.count == 3)
        for line in held { #expect(line.contains("0 refused"), "\(line)") }
        // The code of the deployments before is gone once nothing runs on it.
        let directory = try installation.environmentDirectory
        let code = try FileManager.default.contentsOfDirectory(atPath: "\(directory)/apps/ledger")
        #expect(code.filter { Int($0) != nil }.count == 1, "\(code)")
        #expect(!FileManager.default.fileExists(atPath: "\(directory)/aside.json"))
    }

    @Test func `the deploy hook has ended before the new app starts, and no request comes before it`() throws {
        let installation = try ledger()
        defer { installation.end() }
        let mount = try #require(installation.current().mounts["ledger"]?["files"])
        let file = "\(try installation.environmentDirectory)/\(mount)/order"
        let outcome = try installation.push { checkout in
            try editConfiguration(checkout) { text in
                text.replacingOccurrences(
                    of: "/usr/bin/python3 -m ledger.schema",
                    with: "sleep 1; /usr/bin/python3 -m ledger.schema; echo hook >> files/order"
                ).replacingOccurrences(of: Self.start, with: "echo start >> files/order; " + Self.start)
            }
        }
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try String(contentsOfFile: file, encoding: .utf8) == "hook\nstart\n")
        #expect(try installation.post("afterwards") == 201)
    }

    @Test(arguments: [true, false])
    func `an app that does not listen is pushed under load: no request is refused and the old app goes on`(
        hasHook: Bool
    ) throws {
        let installation = try ledger(hasHook: hasHook)
        defer { installation.end() }
        if !hasHook {
            // With new supervisors, which wait for an app less than the usual minute.
            installation.stopServer()
            try installation.start(settings: ["appReadySeconds": 15])
            #expect(installation.waitUntil(seconds: 60) { (try? installation.post("up-again")) == 201 })
        }
        let before = try installation.current()
        let load = try Load(installation)
        let outcome = try installation.push { checkout in
            try editConfiguration(checkout) { $0.replacingOccurrences(of: Self.start, with: "exec sleep 1000") }
        }
        #expect(outcome.errors.contains("does not listen"), "\(outcome.errors)")
        #expect(try installation.post("while-it-runs") == 201)
        let result = try load.end()
        try isWhole(installation, result)
        // Found out with the gate open where nothing has to run before the app; else within what the gateway keeps.
        #expect(result.longestSeconds < (hasHook ? 25 : 10), "\(result.longestSeconds)")
        let after = try installation.current()
        #expect(after.apps == before.apps)
        #expect(after.deployment == before.deployment)
        let directory = try installation.environmentDirectory
        let code = try FileManager.default.contentsOfDirectory(atPath: "\(directory)/apps/ledger")
        #expect(code.filter { Int($0) != nil }.count == 1, "\(code)")
        let sleeping = try Installation.run(
            "/bin/ps", ["-u", "hf-\((directory as NSString).lastPathComponent)", "-o", "args="])
        #expect(!sleeping.output.contains("sleep 1000"), "\(sleeping.output)")
    }

    @Test func `a restore and its undo under load refuse no request, and what is live is whole`() throws {
        let installation = try ledger()
        defer { installation.end() }
        #expect(try installation.post("kept") == 201)
        try installation.must("backup:create", "-p", installation.project, "-e", "main", "-y")
        let load = try Load(installation)
        Thread.sleep(forTimeInterval: 1)
        try installation.must("backup:restore", "-p", installation.project, "-e", "main", "-y")
        try installation.must("backup:restore", "--undo", "-p", installation.project, "-e", "main", "-y")
        try installation.must("backup:restore", "--undo", "-p", installation.project, "-e", "main", "-y")
        let result = try load.end()
        #expect(result.refused == [:])
        let sets = try installation.sets()
        #expect(sets.database == sets.file)
        #expect(sets.database.contains("kept"))
    }

    @Test
    func `serve killed at the switch of an undo: the processes and the state agree, and the undo can be asked again`()
        throws
    {
        let installation = try ledger()
        defer { installation.end() }
        #expect(try installation.post("old") == 201)
        try installation.must("backup:create", "-p", installation.project, "-e", "main", "-y")
        #expect(try installation.post("new") == 201)
        try installation.must("backup:restore", "-p", installation.project, "-e", "main", "-y")
        #expect(try installation.post("restored") == 201)
        try installation.begin("backup:restore", "--undo", stoppingAt: "switch.written")
        installation.killServer()
        // The gate opens by itself, and what is acknowledged now must not be lost.
        #expect(try installation.postDirect("while-serve-is-down") == 201)
        try installation.start()
        var sets = try installation.sets()
        #expect(sets.database == sets.file)
        #expect(sets.database.isSuperset(of: ["old", "restored", "while-serve-is-down"]), "\(sets.database)")
        #expect(!sets.database.contains("new"))
        try installation.must("backup:restore", "--undo", "-p", installation.project, "-e", "main", "-y")
        sets = try installation.sets()
        #expect(sets.database == sets.file)
        #expect(sets.database.isSuperset(of: ["old", "new"]))
        #expect(!sets.database.contains("while-serve-is-down"))
    }

    @Test func `serve killed at the switch of a redeploy: the new code runs, and the old one does not stay`() throws {
        let installation = try ledger()
        defer { installation.end() }
        let before = try installation.current()
        try installation.begin("environment:redeploy", stoppingAt: "switch.written")
        installation.killServer()
        try installation.start()
        let after = try installation.current()
        #expect(after.apps != before.apps)
        let directory = try installation.environmentDirectory
        func code() -> [String] {
            let names = try? FileManager.default.contentsOfDirectory(atPath: "\(directory)/apps/ledger")
            return (names ?? []).filter { Int($0) != nil }
        }
        let isSwept = installation.waitUntil(seconds: 20) { code().count == 1 }
        #expect(isSwept, "\(code())")
        #expect(after.apps["ledger"] == code().first.map { "apps/ledger/\($0)" })
        #expect(!FileManager.default.fileExists(atPath: "\(directory)/aside.json"))
        #expect(try installation.post("afterwards") == 201)
    }

    @Test func `serve killed when a restore is filled leaves no directories, and the environment as it was`() throws {
        let installation = try ledger()
        defer { installation.end() }
        #expect(try installation.post("old") == 201)
        try installation.must("backup:create", "-p", installation.project, "-e", "main", "-y")
        try installation.begin("backup:restore", stoppingAt: "restore.filled")
        let directory = try installation.environmentDirectory
        func directories() throws -> [String] {
            try ["apps/ledger", "services/db", "mounts/ledger/files"].flatMap { prefix in
                try FileManager.default.contentsOfDirectory(atPath: "\(directory)/\(prefix)")
                    .filter { Int($0) != nil }.map { "\(prefix)/\($0)" }
            }
        }
        #expect(try directories().count > 3)
        installation.killServer()
        try installation.start()
        let current = try installation.current()
        let named = Set(Array(current.apps.values) + current.services.values.map(\.directory))
        let isSwept = installation.waitUntil(seconds: 20) { (try? directories().count) == 3 }
        #expect(isSwept, "\((try? directories()) ?? [])")
        #expect(try Set(directories()).isSuperset(of: named))
        #expect(!FileManager.default.fileExists(atPath: "\(directory)/aside.json"))
        #expect(try installation.post("afterwards") == 201)
        #expect(try installation.sets().database.isSuperset(of: ["old", "afterwards"]))
    }
}
