/// `holdfast-bench corpus`: makes and changes a corpus, in a process of its own.
enum CorpusCommand {
    /// - Parameter arguments: verb, kind, percent, seed, work folder; or `compare` and two folders; or `warm` and one.
    static func run(_ arguments: [String]) throws {
        if arguments.count == 3, arguments[0] == "compare" {
            return try Files.requireEqual(arguments[1], arguments[2])
        }
        if arguments.count == 2, arguments[0] == "warm" { return Files.warm(arguments[1]) }
        guard arguments.count == 5, let kind = CorpusKind(rawValue: arguments[1]), let percent = Int(arguments[2]),
            let seed = UInt64(arguments[3])
        else { throw BenchError("corpus is called by run") }
        let size = CorpusSize(percent: percent, seed: seed)
        let corpus = Corpus(kind, size, in: arguments[4])
        switch arguments[0] {
        case "make": try corpus.make(size)
        case "change": try corpus.applyChange()
        case "undo": try corpus.undoChange()
        case "warm": Files.warm(corpus.data)
        default: throw BenchError("'\(arguments[0])' is not a verb of corpus")
        }
    }

    static func arguments(_ verb: String, _ kind: CorpusKind, _ options: Options) -> [String] {
        ["corpus", verb, kind.rawValue, "\(options.size(kind).percent)", "\(options.seed)", options.work]
    }
}
