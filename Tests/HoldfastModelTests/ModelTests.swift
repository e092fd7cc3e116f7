import Foundation
import HoldfastModel
import HoldfastTestSupport
import Testing

struct IdentifierTests {
    @Test(arguments: ["", "-x", "A", "a/b", "..", "a b", "ä", "a\0", String(repeating: "a", count: 65)])
    func `what could leave a path or a tag is no identifier`(text: String) {
        #expect(ProjectID(text) == nil)
        let json = try? JSONEncoder().encode([text])
        #expect(throws: DecodingError.self) { try JSONDecoder().decode([ProjectID].self, from: json ?? Data()) }
    }

    @Test func `random identifiers have the length of their kind, are valid, and follow from the generator`() {
        var generator = SeededGenerator(seed: 7)
        var again = SeededGenerator(seed: 7)
        for _ in 0..<200 {
            let id = BackupID.random(using: &generator)
            #expect(id.rawValue.count == 26)
            #expect(BackupID(id.rawValue) == id)
            #expect(BackupID.random(using: &again) == id)
        }
        #expect(ProjectID.random().rawValue.count == 13)
        #expect(ProjectID.random() != ProjectID.random())
    }

    @Test func `an identifier is a plain string in JSON`() throws {
        let id = try #require(EnvironmentID("abc-123"))
        #expect(try String(decoding: JSONEncoder().encode([id]), as: UTF8.self) == "[\"abc-123\"]")
    }
}

struct SecretTests {
    @Test func `a secret does not show itself in text, dumps or errors`() {
        let secret = Secret("hunter2")
        var dumped = ""
        dump(secret, to: &dumped)
        let error = HoldfastError(.wrongPassword, "no key opens with \(secret)")
        for text in ["\(secret)", String(reflecting: secret), dumped, "\(error)", "\(["a": secret])"] {
            #expect(!text.contains("hunter2"))
        }
        #expect(secret.reveal() == "hunter2")
    }
}

struct PermissionTests {
    @Test func `strings of the contract are read and written`() throws {
        let strings = ["viewer", "production:viewer", "staging:contributor", "development:admin"]
        let permissions = try Permissions(strings: strings.reversed())
        #expect(permissions.strings == strings)
        #expect(permissions.role(on: .production) == .viewer)
        #expect(permissions.role(on: .development) == .admin)
        #expect(try Permissions(strings: ["viewer"]).role(on: .staging) == .viewer)
        #expect(try Permissions(strings: ["staging:admin"]).role(on: .production) == nil)
    }

    @Test func `an admin of the project is admin on every type, whatever else is said`() throws {
        let permissions = try Permissions(strings: ["admin", "production:viewer"])
        for type in EnvironmentType.allCases { #expect(permissions.role(on: type) == .admin) }
    }

    @Test(arguments: ["contributor", "owner", "production", "prod:admin", "production:root", "production:admin:x", ""])
    func `anything else is refused by its name`(string: String) {
        let error = #expect(throws: HoldfastError.self) { try Permissions(strings: ["viewer", string]) }
        #expect(error?.code == .invalidInput)
        #expect(error?.message.contains("'\(string)'") == true)
    }
}

struct ErrorTests {
    @Test func `a description says what, why, and what to do`() {
        let cause = HoldfastError(.noSpace, "no space left on site a")
        let error = HoldfastError(.unavailable, "pack 12 was not stored", hint: "Free some space", cause: cause)
        #expect(error.description == "pack 12 was not stored: no space left on site a. Free some space")
    }

    @Test func `only what may pass by itself is temporary`() {
        let temporary = HoldfastError.Code.allCases.filter { HoldfastError($0, "x").isTemporary }
        #expect(Set(temporary) == [.unavailable, .locked, .timedOut])
    }
}

struct ActivityTypeTests {
    @Test func `crons and backups leave an environment clean, what changes deployment or data makes it dirty`() {
        let clean = ActivityType.allCases.filter { !$0.makesDirty }
        #expect(Set(clean) == [.cron, .backup, .backupDelete, .retention, .drill, .projectCreate, .prune])
        #expect(ActivityType.backup.queue == .backup)
        #expect(ActivityType.cron.queue == .cron)
        #expect(ActivityType.restore.queue == .default)
    }

    @Test func `a hold is summed up in words that fit its number of requests`() {
        var evidence = HoldEvidence(epoch: 1, closedAt: Date(timeIntervalSince1970: 0))
        evidence.heldForMilliseconds = 211.6
        evidence.unbroken = true
        #expect(evidence.summary == "held 212 ms (no requests), consistent")
        evidence.requestsHeld = 1
        evidence.longestRequestMilliseconds = 187.2
        #expect(evidence.summary == "held 212 ms (1 request, longest 187 ms), consistent")
        evidence.requestsHeld = 37
        evidence.unbroken = false
        #expect(evidence.summary == "held 212 ms (37 requests, longest 187 ms), broken")
    }

    @Test func `evidence tells what the streams did, and that of older records is still read`() throws {
        var evidence = HoldEvidence(epoch: 1, closedAt: Date(timeIntervalSince1970: 0))
        evidence.unbroken = true
        let old = try JSONDecoder().decode(HoldEvidence.self, from: JSONEncoder().encode(evidence))
        #expect(old == evidence)
        #expect(old.streamsFrozen == nil)
        (evidence.streamsFrozen, evidence.streamsIgnored, evidence.requestsLeft) = (0, 0, 0)
        #expect(evidence.summary == "held 0 ms (no requests), consistent")
        evidence.streamsFrozen = 3
        #expect(evidence.summary == "held 0 ms (no requests), consistent; 3 streams stood where they were")
        (evidence.streamsFrozen, evidence.streamsIgnored) = (1, 2)
        let both = "consistent; 1 stream stood where it was; 2 streams went on as configured"
        #expect(evidence.summary.hasSuffix(both))
        #expect(try JSONDecoder().decode(HoldEvidence.self, from: JSONEncoder().encode(evidence)) == evidence)
    }
}
