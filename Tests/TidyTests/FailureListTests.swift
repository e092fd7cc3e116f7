import Foundation
import Testing

/// `Scripts/repeat-failures`, which runs the tests in `make test`.
@Suite struct FailureListTests {
    private func run(_ command: String) throws -> (status: Int32, lines: [String]) {
        let process = Process()
        // A file and no pipe: what is left behind would keep a pipe open.
        let path = NSTemporaryDirectory() + "holdfast-failures-\(UInt64.random(in: 0 ... .max))"
        FileManager.default.createFile(atPath: path, contents: nil)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
        process.executableURL = URL(fileURLWithPath: SourceTree.root + "/Scripts/repeat-failures")
        process.arguments = ["/bin/bash", "-c", command]
        process.standardOutput = file
        process.standardError = file
        try process.run()
        process.waitUntilExit()
        let text = try String(contentsOfFile: path, encoding: .utf8)
        return (process.terminationStatus, text.components(separatedBy: "\n"))
    }

    private static let failing = """
        cat <<'END'
        ◇ Test "good" started.
        ✔ Test "good" passed after 0.1 seconds.
        ✘ Test "bad" recorded an issue with 1 argument x → 1 at A.swift:3:5: Expectation failed: 1 == 2
        ↳ the reason
        ✘ Test "bad" recorded an issue with 1 argument x → 2 at A.swift:3:5: Expectation failed: 2 == 3
        ✘ Test "bad" with 2 test cases failed after 0.1 seconds with 2 issues.
        ✘ Test run with 2 tests in 1 suites failed after 0.2 seconds with 2 issues.
        END
        echo "said after the summary"
        exit 7
        """

    @Test func `what failed is said again at the end with its first message, and the status stays`() throws {
        let outcome = try run(Self.failing)
        #expect(outcome.status == 7)
        let wanted = [
            "said after the summary", "", "1 test failed:", "  \"bad\" (2 issues, the first:)",
            "    with 1 argument x → 1 at A.swift:3:5: Expectation failed: 1 == 2", "      ↳ the reason",
            "✘ Test run with 2 tests in 1 suites failed after 0.2 seconds with 2 issues.", "",
        ]
        #expect(outcome.lines.suffix(wanted.count) == wanted[...], "\(outcome.lines)")
        #expect(outcome.lines.first == "◇ Test \"good\" started.")
    }

    @Test func `a run that is cut off says what had started last, and a good one says nothing more`() throws {
        let cut = try run("echo '◇ Test \"slow\" started.'; exit 137")
        #expect(cut.status == 137)
        #expect(cut.lines.suffix(2) == ["  ◇ Test \"slow\" started.", ""], "\(cut.lines)")
        #expect(cut.lines.contains("The run was cut off with status 137; what had started last:"))
        let good = try run("echo fine")
        #expect(good.status == 0 && good.lines == ["fine", ""], "\(good.lines)")
    }

    @Test func `what a test leaves behind does not hold the run up`() throws {
        let folder = NSTemporaryDirectory() + "holdfast-left-\(UInt64.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        // It keeps the output alone: a `Process` waits for whoever has inherited more. It ends with the folder.
        let outcome = try run(
            """
            (
                for path in /proc/$BASHPID/fd/*; do
                    number=${path##*/}
                    if [ "$number" -gt 2 ]; then exec {number}>&-; fi
                done
                touch '\(folder)/begun'
                for _ in {1..60}; do
                    sleep 1
                    [ -d '\(folder)' ] || exit
                done
                touch '\(folder)/ended'
            ) &
            exit 3
            """)
        #expect(outcome.status == 3)
        #expect(FileManager.default.fileExists(atPath: "\(folder)/begun"))
        #expect(!FileManager.default.fileExists(atPath: "\(folder)/ended"))
    }
}
