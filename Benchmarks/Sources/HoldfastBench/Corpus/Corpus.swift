import Foundation

/// Which kind of data.
enum CorpusKind: String, CaseIterable, Sendable {
    case files
    case db
    case big
}

/// How much of it.
struct CorpusSize: Sendable, Hashable {
    var files = 20_000
    var mebibytes = 256
    var seed: UInt64 = 1
}

/// One corpus on the disk: `data` is what is backed up; `changes` and `originals` hold the files that the 1 % change
/// touches, new and old, below the same paths.
struct Corpus: Sendable {
    let kind: CorpusKind
    let directory: String

    var data: String { "\(directory)/data" }
    private var changes: String { "\(directory)/changes" }
    private var originals: String { "\(directory)/originals" }
    private var marker: String { "\(directory)/complete" }

    init(_ kind: CorpusKind, _ size: CorpusSize, in work: String) {
        self.kind = kind
        let files = kind == .files ? "-\(size.files)" : ""
        directory = "\(work)/corpus/\(kind.rawValue)\(files)-\(size.mebibytes)-\(size.seed)"
    }

    var isComplete: Bool { Files.exists(marker) }

    /// Makes it, unless it is there.
    func make(_ size: CorpusSize) throws {
        if isComplete { return }
        try Files.remove(directory)
        var writer = CorpusWriter(data: data, changes: changes, originals: originals)
        let generator = SeededGenerator(seed: size.seed &+ UInt64(kind.rawValue.utf8.first ?? 0) << 32)
        switch kind {
        case .files:
            var maker = SmallFiles(files: size.files, bytes: size.mebibytes << 20, generator: generator)
            try maker.write(to: &writer)
        case .db:
            var maker = DatabasePages(bytes: size.mebibytes << 20, generator: generator)
            try maker.write(to: &writer)
        case .big:
            var maker = BigFile(bytes: size.mebibytes << 20, generator: generator)
            try maker.write(to: &writer)
        }
        try Files.write([], to: marker)
    }

    func applyChange() throws { try Files.copyTree(changes, over: data) }
    func undoChange() throws { try Files.copyTree(originals, over: data) }
}

/// Where the makers put what they make.
struct CorpusWriter {
    let data: String
    let changes: String
    let originals: String

    func put(_ bytes: [UInt8], _ path: String) throws { try Files.write(bytes, to: "\(data)/\(path)") }

    /// The file as it is after the change; the one before is kept beside it.
    func change(_ path: String, from old: [UInt8], to new: [UInt8]) throws {
        try Files.write(old, to: "\(originals)/\(path)")
        try Files.write(new, to: "\(changes)/\(path)")
    }
}
