import Foundation
import Synchronization
import Testing

extension Installation {
    /// `restic check --read-data`, then the number of snapshots.
    func resticSnapshots(site: String) throws -> Int {
        let text = try must("repository:key", "-p", project, "--format", "json")
        let key = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
        let password = try #require(key?["password"] as? String)
        let variables = [
            "RESTIC_REPOSITORY": "\(home)/sites/\(site)/projects/\(project)", "RESTIC_PASSWORD": password,
        ]
        let check = try Self.run("/usr/bin/restic", ["check", "--read-data", "--no-cache"], environment: variables)
        #expect(check.status == 0, "\(check.output) \(check.errors)")
        let list = try Self.run("/usr/bin/restic", ["snapshots", "--json", "--no-cache"], environment: variables)
        return (try JSONSerialization.jsonObject(with: Data(list.output.utf8)) as? [Any])?.count ?? -1
    }

    /// The environment's address without a server to ask.
    func addressFromState() throws -> String {
        let file = URL(fileURLWithPath: "\(try environmentDirectory)/identity.json")
        let object = try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any]
        return "http://\(try #require(object?["host"] as? String))/"
    }

    /// `post` without a server to ask for the address.
    func postDirect(_ id: String) throws -> Int {
        BackgroundPost(address: try addressFromState(), id: id).wait(seconds: 25)
    }
}

/// One event that is sent on a thread of its own.
final class BackgroundPost: Sendable {
    private let status = Mutex<Int?>(nil)

    init(address: String, id: String) {
        let thread = Thread { [self] in
            let outcome = try? Installation.run(
                "/usr/bin/curl",
                [
                    "-sS", "--max-time", "25", "-o", "/dev/null", "-w", "%{http_code}", "-H", "X-Event-Id: \(id)", "-d",
                    "x", "\(address)events",
                ])
            status.withLock { $0 = Int(outcome?.output ?? "") ?? 0 }
        }
        thread.start()
    }

    var isDone: Bool { status.withLock { $0 != nil } }

    /// The HTTP status; 0 if there was none in time.
    func wait(seconds: Double) -> Int {
        for _ in 0..<Int(seconds * 50) {
            if let status = status.withLock({ $0 }) { return status }
            Thread.sleep(forTimeInterval: 0.02)
        }
        return 0
    }
}
