import Foundation

/// What a run is asked to do.
struct Options: Sendable {
    var kinds = CorpusKind.allCases
    var steps = Step.allCases
    var tools = Tool.Kind.allCases
    /// Percent of each corpus.
    var scale = Dictionary(uniqueKeysWithValues: CorpusKind.allCases.map { ($0, 100) })
    var seed: UInt64 = 1
    var pairs = 5
    var restic = "restic"
    var borg = "borg"
    var work = (NSTemporaryDirectory() as NSString).appendingPathComponent("holdfast-bench")
    var output: String?
    var keepsCorpora = false
    var resumes = false
    var measuresLimits = true

    static let help = """
        holdfast-bench run [options]: our engine, restic and borg, step by step in turn

          --corpus KINDS      files,db,big (all)
          --steps STEPS       open,first,unchanged,changed,restore,check,prune (all); what these need is done unmeasured
          --tools TOOLS       holdfast,restic,borg (all)
          --scale PERCENT     of the corpora: 50,000 files of 1.66 GB, 0.88 GB of database, one file of 4 GiB (100);
                              big=25 or big=25,db=50 for single ones
          --pairs N           how often each tool does everything (5)
          --seed N            other bytes (1)
          --restic PATH       which restic (restic)
          --borg PATH         which borg (borg)
          --work DIRECTORY    where corpora and repositories lie meanwhile (the temporary folder)
          --output FILE       where the rows are written as JSON, anew after each round (nowhere)
          --resume            go on with the rounds that a run before, with the same options, has left out
          --no-limits         do not measure what the machine can do
          --keep              leave the corpora for the next run

        """

    init(_ arguments: [String]) throws {
        var rest = arguments[...]
        while let option = rest.popFirst() {
            switch option {
            case "--keep": keepsCorpora = true
            case "--resume": resumes = true
            case "--no-limits": measuresLimits = false
            default:
                guard let value = rest.popFirst() else {
                    throw BenchError("\(option) needs a value, or is not an option")
                }
                try set(option, value)
            }
        }
    }

    private mutating func set(_ option: String, _ value: String) throws {
        switch option {
        case "--corpus": kinds = try Self.choice(value, "corpus")
        case "--steps": steps = try Self.choice(value, "step")
        case "--tools": tools = try Self.choice(value, "tool")
        case "--scale": try setScale(value)
        case "--pairs": pairs = try Self.number(value, option, in: 1...1000)
        case "--seed": seed = UInt64(try Self.number(value, option, in: 0...Int.max))
        case "--restic": restic = value
        case "--borg": borg = value
        case "--work": work = Self.absolute(value)
        case "--output": output = Self.absolute(value)
        default: throw BenchError("\(option) is not an option; see holdfast-bench help")
        }
    }

    private mutating func setScale(_ value: String) throws {
        for word in value.split(separator: ",") {
            let parts = word.split(separator: "=").map(String.init)
            let percent = try Self.number(parts.last ?? "", "--scale", in: 1...10_000)
            let chosen: [CorpusKind] = parts.count == 2 ? try Self.choice(parts[0], "corpus") : CorpusKind.allCases
            for kind in chosen { scale[kind] = percent }
        }
    }

    func size(_ kind: CorpusKind) -> CorpusSize { CorpusSize(percent: scale[kind] ?? 100, seed: seed) }

    /// Some of the cases, in the order in which they are declared.
    private static func choice<Value>(_ text: String, _ what: String) throws -> [Value]
    where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
        let words = text.split(separator: ",").map(String.init)
        for word in words where Value(rawValue: word) == nil {
            let known = Value.allCases.map(\.rawValue).joined(separator: ", ")
            throw BenchError("'\(word)' is not a \(what); there are \(known)")
        }
        return Value.allCases.filter { words.contains($0.rawValue) }
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
