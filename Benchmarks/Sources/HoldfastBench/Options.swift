import Foundation

/// What a run is asked to do.
struct Options: Sendable {
    var kinds = CorpusKind.allCases
    var size = CorpusSize()
    var pairs = 3
    var restic = "restic"
    var work = (NSTemporaryDirectory() as NSString).appendingPathComponent("holdfast-bench")
    var output: String?
    var keepsCorpora = false

    static let help = """
        holdfast-bench run [options]: our engine and restic, step by step in turn

          --corpus KINDS      files,db,big (all)
          --files N           files of the corpus 'files' (20000)
          --mebibytes N       size of each corpus (256)
          --pairs N           how often each tool does everything (3)
          --seed N            other bytes (1)
          --restic PATH       which restic (restic)
          --work DIRECTORY    where corpora and repositories lie meanwhile (the temporary folder)
          --output FILE       where the rows are written as JSON (nowhere)
          --keep              leave the corpora for the next run

        """

    init(_ arguments: [String]) throws {
        var rest = arguments[...]
        while let option = rest.popFirst() {
            if option == "--keep" {
                keepsCorpora = true
                continue
            }
            guard let value = rest.popFirst() else { throw BenchError("\(option) needs a value, or is not an option") }
            switch option {
            case "--corpus": kinds = try value.split(separator: ",").map { try Self.kind(String($0)) }
            case "--files": size.files = try Self.number(value, option, in: 1...10_000_000)
            case "--mebibytes": size.mebibytes = try Self.number(value, option, in: 1...1_000_000)
            case "--pairs": pairs = try Self.number(value, option, in: 1...1000)
            case "--seed": size.seed = UInt64(try Self.number(value, option, in: 0...Int.max))
            case "--restic": restic = value
            case "--work": work = Self.absolute(value)
            case "--output": output = Self.absolute(value)
            default: throw BenchError("\(option) is not an option; see holdfast-bench help")
            }
        }
    }

    private static func kind(_ text: String) throws -> CorpusKind {
        guard let kind = CorpusKind(rawValue: text) else {
            throw BenchError("'\(text)' is not a corpus; there are files, db and big")
        }
        return kind
    }

    private static func number(_ text: String, _ option: String, in range: ClosedRange<Int>) throws -> Int {
        guard let number = Int(text), range.contains(number) else {
            throw BenchError("\(option) takes a number from \(range.lowerBound) to \(range.upperBound), not '\(text)'")
        }
        return number
    }

    private static func absolute(_ path: String) -> String {
        path.hasPrefix("/") ? path : "\(FileManager.default.currentDirectoryPath)/\(path)"
    }
}
