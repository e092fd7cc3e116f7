import ArgumentParser
import Foundation
import HoldfastCommands
import Testing

@Suite struct HelpTests {
    @Test func `the help lists every verb with one line`() async throws {
        let run = try await CommandFixture.run(["--help"])
        #expect(run.status == .success)
        #expect(run.error.isEmpty)
        for command in CommandTree.clientCommands {
            let name = command.configuration.commandName ?? ""
            #expect(run.out.contains("  \(name)"), "\(name)")
            #expect(!command.configuration.abstract.isEmpty, "\(name)")
        }
    }

    @Test(arguments: CommandTree.clientCommands.compactMap { $0.configuration.commandName })
    func `every verb explains itself and each of its options`(name: String) async throws {
        let run = try await CommandFixture.run([name, "--help"])
        #expect(run.status == .success)
        #expect(run.out.contains("USAGE: holdfast \(name)"))
        #expect(run.out.contains("--home <directory>"))
        #expect(run.requests.isEmpty)
        let options = run.out.split(separator: "\n").filter { $0.hasPrefix("  -") }
        for (line, next) in zip(options, options.dropFirst() + [""]) {
            let words = line.split(separator: " ")
            #expect(words.count > 2 || next.isEmpty || run.out.contains("\(line)\n    "), "\(name): \(line)")
        }
    }

    @Test func `the help of backup:restore is as it is documented`() async throws {
        let run = try await CommandFixture.run(["backup:restore", "--help"])
        #expect(
            run.out.hasPrefix(
                """
                OVERVIEW: Restore a backup, into its environment or into another one.

                Data is restored aside, checked, and switched in while requests are held. What
                was there before is kept for a while: --undo puts it back. Git is never
                changed; the next push or redeploy takes the branch's code again.

                A backup of another environment, or of one that is deleted, needs --target.
                Into a production environment it asks, with no as the usual answer; without a
                terminal it needs --yes.

                USAGE: holdfast backup:restore [<options>] [<backup>]
                """))
        #expect(!run.out.contains("--restore-code"))
    }

    @Test func `help of a verb is help of that verb`() async throws {
        let run = try await CommandFixture.run(["help", "backup:list"])
        #expect(run.status == .success)
        #expect(run.out.contains("USAGE: holdfast backup:list"))
        #expect(run.error.isEmpty)
    }

    @Test func `without a verb there is help`() async throws {
        let run = try await CommandFixture.run([])
        #expect(run.status == .success)
        #expect(run.out.contains("SUBCOMMANDS:"))
    }

    @Test func `what cannot be parsed is said with what to do, on standard error`() async throws {
        for arguments in [["backup:crate"], ["backup:list", "--formt", "csv"], ["backup:list", "--format", "xml"]] {
            let run = try await CommandFixture.run(arguments)
            #expect(run.status == .failure, "\(arguments)")
            #expect(run.out.isEmpty)
            #expect(run.error.hasPrefix("Error: "), "\(run.error)")
            #expect(run.error.contains("--help"), "\(run.error)")
        }
    }
}
