import ArgumentParser
import Foundation
import HoldfastAPI
import HoldfastClient
import HoldfastCommands
import HoldfastControl
import HoldfastDoctor
import HoldfastModel

/// `holdfast doctor`
struct DoctorVerb: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Say what is wrong with this installation, and what to do.",
        discussion: """
            Looks at the state directory, disks, keys, catalogue, sites, locks, processes, programs, clock, backups, \
            recovery kit and notifications. It changes nothing, and works whether serve runs or not. Ends with \
            status 1 if anything is wrong.
            """)

    @OptionGroup var options: HomeOptions

    @Flag(help: "Print everything as JSON.")
    var json = false

    @Flag(help: "Print also what is well.")
    var all = false

    func run() async throws {
        let surroundings = Surroundings.current
        let examination = Examination(home: options.stateDirectory, time: surroundings.time)
        var findings = try await offload("doctor") { examination.findings() }
        findings.insert(await ServerCheck(home: options.stateDirectory, time: surroundings.time).finding(), at: 0)
        let wrong = findings.filter { $0.state == .wrong }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            surroundings.output.out(String(decoding: try encoder.encode(findings), as: UTF8.self) + "\n")
        } else {
            let shown = findings.filter { all || $0.state != .good }
            for finding in shown { surroundings.output.out(Self.text(finding)) }
            let well = findings.count { $0.state == .good }
            surroundings.output.error(
                wrong.isEmpty
                    ? "Nothing is wrong; \(well) checks are well." : "\(wrong.count) wrong, \(well) checks are well.")
        }
        if !wrong.isEmpty { throw CommandFailure(.failure) }
    }

    private static func text(_ finding: Finding) -> String {
        let marks = [Finding.State.good: "good ", .note: "note ", .wrong: "WRONG"]
        var text = "\(marks[finding.state] ?? "")  \(finding.check): \(PlainText.lines(finding.what))\n"
        if let advice = finding.advice { text += "       \(PlainText.lines(advice))\n" }
        return text
    }
}

/// Whether the API answers whoever uses this machine's command line.
struct ServerCheck {
    let home: StateDirectory
    let time: any TimeSource

    func finding() async -> Finding {
        let advice = "Start holdfast serve: meanwhile nothing is backed up by itself"
        guard InstallationLock.isHeld(home) else {
            return .wrong("server", "holdfast serve does not run on \(home.path)", advice)
        }
        guard let url = Self.line(home.url), let token = Self.line(home.token) else {
            return .note("server", "serve runs and is not ready yet", "Try again in a moment")
        }
        do {
            let projects = try await APIClient.withClient(
                server: try ServerAddress(url), token: Secret(token), time: time
            ) { try await $0.projects().count }
            return .good("server", "serve answers at \(url), with \(projects) projects")
        } catch {
            return .wrong("server", error, "Look at the log of serve, and restart it")
        }
    }

    private static func line(_ path: String) -> String? {
        let text = try? String(contentsOfFile: path, encoding: .utf8)
        return text.map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }.flatMap { $0.isEmpty ? nil : $0 }
    }
}
