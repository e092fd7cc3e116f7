import Foundation
import Glibc
import HoldfastCommands
import HoldfastRepositoryCommands
import HoldfastTestSupport
import Testing

/// Names that would change what a terminal shows are shown as text.
@Suite struct HostileNameTests {
    private static let names = [
        "esc\u{1b}[2J\u{1b}]0;owned\u{7}", "line\nsnapshot 00000000 of [/]:", "return\rhidden", "tab\tbed",
        "turned \u{202e}gpj.exe", "isolate \u{2066}x\u{2069}", "mark \u{200f}", "next\u{85}line", "csi \u{9b}31m",
        "paragraph\u{2029}", "back\\slash", "plain é 日本",
    ]

    private func expectHarmless(_ outcome: Outcome, _ what: String, sourceLocation: SourceLocation = #_sourceLocation) {
        for text in [outcome.out, outcome.error] {
            let wrong = text.unicodeScalars.filter { scalar in
                guard scalar != "\n" else { return false }
                return [.control, .format, .paragraphSeparator, .lineSeparator].contains(
                    scalar.properties.generalCategory)
            }
            #expect(wrong.isEmpty, "\(what): \(text.debugDescription)", sourceLocation: sourceLocation)
            #expect(!text.contains("\nsnapshot 00000000"), "\(what)", sourceLocation: sourceLocation)
        }
    }

    private func hostileData() throws -> Both {
        let both = try Both()
        for name in Self.names { try both.place.write("data/\(name)/file", name) }
        symlink("to\u{1b}[31m\nred", both.place("data/link"))
        // Not UTF-8, and with an escape in it.
        let raw = Array(both.place("data").utf8) + Array("/raw".utf8) + [0xff, 0x1b, 0xfe, 0]
        raw.withUnsafeBufferPointer { bytes in
            bytes.withMemoryRebound(to: CChar.self) { path in _ = path.baseAddress.map { mkdir($0, 0o700) } }
        }
        return both
    }

    @Test func `no verb lets a name reach the terminal as it is`() throws {
        let both = try hostileData()
        let data = both.place("data")
        let tags = ["--tag", "tag\u{1b}[1m\n", "--host", "host\u{202e}\u{1b}c"]
        expectHarmless(holdfast(["backup", data] + tags, both.variables), "backup")
        for name in Self.names { try both.place.write("data/\(name)/file", name + " changed") }
        expectHarmless(holdfast(["backup", data] + tags, both.variables), "backup")
        let missing = holdfast(["backup", data, both.place("missing\u{1b}[2J\n")] + tags, both.variables)
        #expect(missing.status == 3)
        expectHarmless(missing, "backup of a missing file")
        let ids = both.snapshots()
        #expect(ids.count == 3)
        let calls = [
            ["ls", ids[0]], ["ls", "--long", ids[0]], ["find", "*"], ["find", "--long", "file"],
            ["diff", ids[0], ids[1]], ["diff", "--metadata", ids[1], ids[0]], ["snapshots"],
            ["snapshots", "--group-by", "host,paths,tags"], ["forget", "--dry-run", "--keep-last", "1"],
            ["restore", ids[0], "--target", both.place("out"), "--dry-run"], ["check"], ["stats"], ["key", "list"],
        ]
        for call in calls {
            let outcome = holdfast(call, both.variables)
            #expect(outcome.status == 0, "\(call): \(outcome.error)")
            #expect(!outcome.out.isEmpty)
            expectHarmless(outcome, "\(call)")
        }
        let refused = holdfast(["dump", ids[0], "/no\u{1b}[2Jthing"], both.variables)
        #expect(refused.status == 1)
        expectHarmless(refused, "dump")
        // What is in the way of a directory is named.
        try both.place.write("in the way\(data)/\(Self.names[0])/file/x", "a directory where a file belongs")
        let problems = holdfast(["restore", ids[0], "--target", both.place("in the way")], both.variables)
        #expect(problems.status == 3, "\(problems.error)")
        #expect(problems.error.contains("not restored: "), "\(problems.error)")
        expectHarmless(problems, "restore")
    }

    @Test func `what a key file says reaches the terminal as text only`() throws {
        let both = try Both()
        // A key file is plain text, and whoever can write to the folder can make one.
        let key = try both.place.write("key", #"{"kdf":"\u001b[2J\u001b]0;owned\u0007","N":2,"r":1,"p":1}"#)
        let hash = try run("/usr/bin/sha256sum", [key]).out.prefix(64)
        try FileManager.default.copyItem(atPath: key, toPath: both.path + "/keys/" + hash)
        let outcome = both.expect("key", "list")
        #expect(outcome.error.contains("\\x1b[2J"), "\(outcome.error)")
        expectHarmless(outcome, "key list")
    }

    @Test func `what is shown says which character it was, JSON has the name itself, plain names stay as they are`()
        throws
    {
        let both = try hostileData()
        both.expect("backup", both.place("data"))
        let shown = both.expect("ls", "latest").out
        let data = both.place("data")
        #expect(shown.contains("\n\"\(data)/esc\\x1b[2J\\x1b]0;owned\\x07\"\n"), "\(shown)")
        #expect(shown.contains("\n\"\(data)/turned \\u202egpj.exe\"\n"), "\(shown)")
        #expect(shown.contains("\n\(data)/plain é 日本\n"), "\(shown)")
        #expect(shown.contains("\n\(data)/back\\slash\n"), "\(shown)")
        let paths = both.expect("ls", "latest", "--json").jsonLines.compactMap { $0["path"] as? String }
        for name in Self.names { #expect(paths.contains("\(data)/\(name)/file"), "\(name.debugDescription)") }
    }

    @Test func `two different names never look the same`() {
        let names = [
            "a\nb", "a\\nb", "\"a\\nb\"", "\"a", "\\\"a", "a\u{1b}", "a\\x1b", "a\u{85}", "a\\u0085", "a b", "a\u{a0}b",
        ]
        #expect(Set(names.map(PlainText.name)).count == names.count, "\(names.map(PlainText.name))")
        #expect(PlainText.name("a\u{e0001}") == "\"a\\U000e0001\"")
        #expect(PlainText.line("one\ntwo \\ \u{7f}") == "one\\ntwo \\ \\x7f")
        #expect(PlainText.lines("one\ntwo\tthree\r") == "one\ntwo\tthree\\r")
    }
}
