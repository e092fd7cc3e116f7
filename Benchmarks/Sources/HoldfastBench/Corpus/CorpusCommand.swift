/// `holdfast-bench corpus`: makes and changes a corpus, in a process of its own.
enum CorpusCommand {
    /// - Parameter arguments: verb, kind, number of files, MiB, seed, work folder; or `compare`, one folder, another.
    static func run(_ arguments: [String]) throws {
        if arguments.count == 3, arguments[0] == "compare" {
            return try Files.requireEqual(arguments[1], arguments[2])
        }
        guard arguments.count == 6, let kind = CorpusKind(rawValue: arguments[1]), let files = Int(arguments[2]),
            let mebibytes = Int(arguments[3]), let seed = UInt64(arguments[4])
        else { throw BenchError("corpus is called by run") }
        let size = CorpusSize(files: files, mebibytes: mebibytes, seed: seed)
        let corpus = Corpus(kind, size, in: arguments[5])
        switch arguments[0] {
        case "make": try corpus.make(size)
        case "change": try corpus.applyChange()
        case "undo": try corpus.undoChange()
        case "warm": Files.warm(corpus.data)
        default: throw BenchError("'\(arguments[0])' is not a verb of corpus")
        }
    }

    static func arguments(_ verb: String, _ kind: CorpusKind, _ options: Options) -> [String] {
        let size = options.size
        return ["corpus", verb, kind.rawValue, "\(size.files)", "\(size.mebibytes)", "\(size.seed)", options.work]
    }
}
