import ArgumentParser
import Foundation
import HoldfastCommands
import HoldfastModel
import HoldfastRepository
import HoldfastRepositoryCommands
import Synchronization
import Testing

@Suite struct OptionTests {
    @Test func `repository and password come from options, variables, files and commands, as with restic`() throws {
        let both = try Both()
        let place = both.place
        try place.write("password", "secret\n")
        try place.write("location", both.path + "\n")
        try place.write("wrong", "wrong\n")
        let ways: [([String], [String: String])] = [
            (["-r", both.path, "-p", place("password")], [:]),
            (["--repo", "local:" + both.path, "--password-file", place("password")], [:]),
            (["--repository-file", place("location"), "--password-command", "cat '\(place("password"))'"], [:]),
            ([], ["RESTIC_REPOSITORY": both.path, "RESTIC_PASSWORD": "secret"]),
            ([], ["RESTIC_REPOSITORY_FILE": place("location"), "RESTIC_PASSWORD_FILE": place("password")]),
            ([], ["RESTIC_REPOSITORY": both.path, "RESTIC_PASSWORD_COMMAND": "cat \"\(place("password"))\""]),
            (["-r", both.path], ["RESTIC_REPOSITORY": "/nowhere", "RESTIC_PASSWORD": "secret"]),
            (["-p", place("password")], ["RESTIC_REPOSITORY": both.path, "RESTIC_PASSWORD": "wrong"]),
        ]
        for (arguments, variables) in ways {
            let outcome = holdfast(["snapshots"] + arguments, variables)
            #expect(outcome.status == 0, "\(arguments) \(variables): \(outcome.error)")
        }
        #expect(holdfast(["snapshots", "-r", both.path, "-p", place("wrong")]).status == 12)
        #expect(holdfast(["snapshots", "-r", both.path, "--password-command", "false"]).status == 1)
        #expect(holdfast(["snapshots", "-r", both.path, "--password-command", "cat '"]).status == 1)
        #expect(holdfast(["snapshots"], ["RESTIC_PASSWORD": "secret"]).status == 1)
        #expect(holdfast(["snapshots", "-r", "s3:bucket"], ["RESTIC_PASSWORD": "secret"]).status == 1)
        #expect(holdfast(["snapshots", "-r", place("nothing")], ["RESTIC_PASSWORD": "secret"]).status == 10)
        let wrongRestic = try run("/usr/bin/restic", ["-r", both.path, "snapshots"], ["RESTIC_PASSWORD": "wrong"])
        #expect(wrongRestic.status != 0)
    }

    @Test func `without a password anywhere it is asked for, twice for a new repository`() throws {
        let both = try Both()
        let variables = ["RESTIC_REPOSITORY": both.path]
        let asked = holdfast(["snapshots"], variables, answers: ["secret"], canAsk: true)
        #expect(asked.status == 0, "\(asked.error)")
        #expect(asked.error.contains("password of the repository: "))
        #expect(!asked.error.contains("secret"))
        // From a pipe it is read, and nothing is asked.
        let piped = holdfast(["snapshots"], variables, answers: ["secret"])
        #expect(piped.status == 0 && piped.error.isEmpty)
        #expect(holdfast(["snapshots"], variables).status == 1)
        #expect(holdfast(["snapshots"], variables, answers: ["other"], canAsk: true).status == 12)
        let new = ["RESTIC_REPOSITORY": both.place("new")]
        #expect(holdfast(["init"], new, answers: ["one", "two"], canAsk: true).status == 1)
        #expect(!both.place.exists("new/config"))
        #expect(holdfast(["init"], new, answers: ["one", "one"], canAsk: true).status == 0)
        #expect(holdfast(["snapshots"], new, answers: ["one"]).status == 0)
    }

    @Test func `statuses are restic's`() {
        #expect(RepositoryStatus.allCases.map(\.rawValue) == [0, 1, 3, 10, 11, 12, 130])
        #expect(RepositoryStatus(of: HoldfastError(.locked, "x")) == .locked)
        #expect(RepositoryStatus(of: HoldfastError(.wrongPassword, "x")) == .wrongPassword)
        #expect(RepositoryStatus(of: HoldfastError(.damaged, "x")) == .failure)
    }

    @Test func `every verb explains itself`() {
        var verbs = RepositoryVerb.configuration.subcommands.map { [$0.configuration.commandName ?? ""] }
        verbs += ["list", "add", "remove", "passwd"].map { ["key", $0] }
        #expect(verbs.count >= 20)
        for verb in verbs {
            let help = holdfast(verb + ["--help"])
            #expect(help.status == 0 && help.error.isEmpty)
            #expect(help.out.contains("USAGE: holdfast repository \(verb.joined(separator: " "))"), "\(help.out)")
            #expect(help.out.contains("OVERVIEW: "))
        }
        #expect(holdfast(["--help"]).out.contains("RESTIC_PASSWORD_COMMAND"))
        let wrong = holdfast(["snapshots", "--nonsense"])
        #expect(wrong.status == 1 && wrong.out.isEmpty && wrong.error.contains("nonsense"))
    }

    @Test func `progress shows share, rate and the time that is left, by the clock that it is given`() {
        var estimate = RateEstimate()
        var reading = ProgressMeter.Reading()
        reading.bytes = 10 << 20
        estimate.add(0, at: 0)
        #expect(estimate.rate == nil)
        estimate.add(10 << 20, at: 5_000_000_000)
        #expect(estimate.rate == Double(2 << 20))
        #expect(estimate.text("copying", reading) == "copying: 10 MiB, 2.0 MiB/s")
        reading.totalBytes = 40 << 20
        reading.totalItems = 8
        reading.items = 2
        let text = estimate.text("copying", reading)
        #expect(text == "copying: 25.0 %, 10 MiB of 40 MiB, 2 of 8 files, 2.0 MiB/s, about 15 s left")
        // Old samples no longer count.
        for second in 6..<60 { estimate.add(10 << 20, at: UInt64(second) * 1_000_000_000) }
        #expect(estimate.rate == 0)
        #expect(!estimate.text("copying", reading).contains("left"))
    }

    @Test func `progress is shown on a terminal, and elsewhere only if asked for`() throws {
        let both = try Both()
        try both.place.write("data/file", "text")
        let arguments = ["backup", both.place("data")]
        #expect(holdfast(arguments, both.variables).error.isEmpty)
        #expect(holdfast(arguments, both.variables, isLive: true).error.contains("backing up: "))
        #expect(holdfast(arguments + ["--progress"], both.variables).error.contains("backing up: "))
        #expect(holdfast(arguments + ["--quiet"], both.variables, isLive: true).error.isEmpty)
    }

    @Test func `patterns fit as restic says`() throws {
        let cases: [(String, String, Bool)] = [
            ("*.txt", "/a/b/c.txt", true), ("*.txt", "/a/b.txt/c", true), ("b/c", "/a/b/c/d", true),
            ("b/c", "/a/b/x/c", false), ("/a/*/c", "/a/b/c", true), ("/a/*/c", "/x/a/b/c", false),
            ("/a/**/c", "/a/c", true), ("/a/**/c", "/a/1/2/3/c", true), ("**/c", "/c", true), ("[a-c]?", "/b1", true),
            ("[^a-c]", "/b", false), ("a\\*", "/a*", true), ("a\\*", "/ab", false), ("", "/a", false),
            ("A", "/a", false),
            ("a*b*c", "/aXbYbZc", true), ("a*b*c", "/aXbYbZ", false), ("/", "/a", true),
        ]
        for (pattern, path, expected) in cases {
            #expect(try PathPatterns([pattern]).match(path) == expected, "\(pattern) \(path)")
        }
        #expect(try PathPatterns(["A"], ignoresCase: true).match("/a"))
        #expect(try PathPatterns(["*", "!keep"]).match("/keep") == false)
        #expect(try PathPatterns(["/a/b/c"]).mayMatch(below: "/a/b"))
        #expect(try PathPatterns(["/a/b/c"]).mayMatch(below: "/a/x") == false)
        #expect(throws: HoldfastError.self) { try PathPatterns(["[a"]) }
        // No pattern takes long.
        let long = String(repeating: "a", count: 200)
        #expect(try PathPatterns([String(repeating: "*a", count: 50) + "b"]).match("/" + long) == false)
    }

    @Test func `spans are read and written as restic does`() throws {
        #expect(try CalendarSpan("1y5m7d2h") == CalendarSpan(years: 1, months: 5, days: 7, hours: 2))
        #expect("\(try CalendarSpan("2h1d"))" == "1d2h")
        for wrong in ["", "5", "d", "1w", "1d2", "99999999999999999999d"] {
            #expect(throws: HoldfastError.self) { try CalendarSpan(wrong) }
        }
    }
}
