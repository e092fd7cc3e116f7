import ArgumentParser
import Foundation
import HoldfastCommands
import HoldfastModel
import HoldfastRepository

/// `repository check`
struct CheckVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Look whether everything that the snapshots need is there and whole.",
        discussion: "Without --read-data packs are compared by size only. Ends with 1 if anything is wrong.")

    @OptionGroup var options: RepositoryOptions
    @OptionGroup var reading: ReadingOptions

    @Flag(help: "Read every pack, and verify each blob.")
    var readData = false

    @Option(
        help: ArgumentHelp("Read a part: '2/7' the second of seven, '5%' or '500M' chosen anew.", valueName: "part"))
    var readDataSubset: String?

    private struct Problem: Encodable {
        var message_type = "error"
        let object: String
        let message: String
    }

    private struct Summary: Encodable {
        var message_type = "summary"
        let num_errors: Int
        let snapshots: Int
        let trees: Int
        let blobs: Int
        let packs: Int
        let packs_read: Int
        let bytes_read: Int64
        let unused_packs: Int
        let suggest_prune: Bool
    }

    func run() throws {
        guard !readData || readDataSubset == nil else {
            throw HoldfastError(.invalidInput, "--read-data reads all, so there is no subset", hint: "Give one of them")
        }
        try options.reading(reading) { context in
            let sizes = try context.store.list(.data).map(\.size)
            let total = sizes.reduce(0) { $0 + Int64($1) }
            let part = try readData ? ReadData.all : readDataSubset.map { try ReadDataArgument.parse($0, total: total) }
            let meter = ProgressMeter()
            switch part {
            case .all: meter.expect(bytes: total)
            case .percent(let percent): meter.expect(bytes: Int64(Double(total) * percent / 100))
            case .part(_, let parts): meter.expect(bytes: total / Int64(parts))
            case .none?, nil: break
            }
            context.store.count(reads: meter)
            let report = try context.showing("checking", meter) {
                try context.repository.check(readData: part ?? .none)
            }
            try show(report, context)
            if !report.isIntact { throw VerbEnd(.failure) }
        }
    }

    private func show(_ report: CheckReport, _ context: VerbContext) throws {
        let count = report.problems.count + report.furtherProblems
        if options.json {
            for problem in report.problems {
                try context.write(json: Problem(object: problem.object, message: problem.reason))
            }
            return try context.write(
                json: Summary(
                    num_errors: count, snapshots: report.snapshots, trees: report.trees, blobs: report.blobs,
                    packs: report.packs, packs_read: report.packsRead, bytes_read: report.bytesRead,
                    unused_packs: report.unusedPacks, suggest_prune: report.unusedPacks > 0))
        }
        for problem in report.problems { context.warn("error: \(problem)") }
        if report.furtherProblems > 0 { context.warn("error: \(report.furtherProblems) more") }
        context.say(
            "\(Amount.count(report.snapshots, "snapshot")), \(Amount.count(report.trees, "tree")), "
                + "\(Amount.count(report.blobs, "blob")) in \(Amount.count(report.packs, "pack"))")
        if report.packsRead > 0 {
            context.say("read \(Amount.count(report.packsRead, "pack")), \(Amount.bytes(report.bytesRead))")
        }
        if report.unusedPacks > 0 {
            context.say("\(Amount.count(report.unusedPacks, "pack")) of interrupted backups: prune removes them")
        }
        context.say(count == 0 ? "no errors were found" : "\(Amount.count(count, "error"))")
    }
}

/// `n/t`, a percentage, or a size.
enum ReadDataArgument {
    static func parse(_ text: String, total: Int64) throws -> ReadData {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        if parts.count == 2, let number = Int(parts[0]), let count = Int(parts[1]), count > 0,
            (1...count).contains(number)
        {
            return .part(number, of: count)
        }
        if text.hasSuffix("%"), let percent = Double(text.dropLast()), percent > 0, percent <= 100 {
            return .percent(percent)
        }
        if let size = ByteSize.parse(text), size > 0 {
            return total <= size ? .all : .percent(Double(size) * 100 / Double(total))
        }
        throw HoldfastError(
            .invalidInput, "'\(text)' is not a part of the data", hint: "Write it as '2/7', '5%' or '500M'")
    }
}

enum ByteSize {
    /// A number with or without K, M, G or T for powers of 1024; nil if it is none.
    static func parse(_ text: String) -> Int64? {
        let upper = text.uppercased()
        let powers: [Character: Int64] = ["B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40]
        guard let last = upper.last else { return nil }
        let factor = powers[last] ?? 1
        guard let number = Int64(powers[last] == nil ? upper[...] : upper.dropLast()), number >= 0 else { return nil }
        let size = number.multipliedReportingOverflow(by: factor)
        return size.overflow ? nil : size.partialValue
    }
}
