import Foundation

/// Which kind of data.
enum CorpusKind: String, CaseIterable, Codable, Sendable {
    case files
    case db
    case big
}

/// How much of it.
struct CorpusSize: Codable, Sendable, Hashable {
    /// Of the sizes below.
    var percent = 100
    var seed: UInt64 = 1

    var files: Int { max(50_000 * percent / 100, 100) }

    func bytes(_ kind: CorpusKind) -> Int {
        let mebibytes =
            switch kind {
            case .files: 1587
            case .db: 840
            case .big: 4096
            }
        return max(mebibytes * percent / 100, 4) << 20
    }
}

/// One corpus on the disk: `data` is what is backed up; `changes` holds the files that the 1 % change exchanges, below
/// the same paths.
struct Corpus: Sendable {
    let kind: CorpusKind
    let directory: String

    var data: String { "\(directory)/data" }
    private var changes: String { "\(directory)/changes" }
    private var marker: String { "\(directory)/complete" }
    /// There while the change is made.
    private var changed: String { "\(directory)/changed" }

    init(_ kind: CorpusKind, _ size: CorpusSize, in work: String) {
        self.kind = kind
        directory = "\(work)/corpus/\(kind.rawValue)-\(size.percent)-\(size.seed)"
    }

    /// A run that was cut while the change was there leaves nobody knows what.
    var isComplete: Bool { Files.exists(marker) && !Files.exists(changed) }

    /// Makes it, unless it is there.
    func make(_ size: CorpusSize) throws {
        if isComplete { return }
        try Files.remove(directory)
        let writer = CorpusWriter(data: data, changes: changes)
        let generator = SeededGenerator(seed: size.seed &+ UInt64(kind.rawValue.utf8.first ?? 0) << 32)
        switch kind {
        case .files:
            var maker = SmallFiles(files: size.files, bytes: size.bytes(kind), generator: generator)
            try maker.write(to: writer)
        case .db:
            var maker = DatabasePages(bytes: size.bytes(kind), generator: generator)
            try maker.write(to: writer)
        case .big:
            var maker = BigFile(bytes: size.bytes(kind), generator: generator)
            try maker.write(to: writer)
        }
        try writeNote()
        try Files.write([], to: marker)
    }

    func applyChange() throws {
        try Files.write([], to: changed)
        try Files.exchangeTree(changes, with: data)
        try writeNote()
    }

    func undoChange() throws {
        guard Files.exists(changed) else { return }
        try Files.exchangeTree(changes, with: data)
        try writeNote()
        try Files.remove(changed)
    }

    /// The newest file: borg does not trust the newest time stamp of a backup, and that is not to be the large file's.
    private func writeNote() throws {
        try Files.write(Array("The newest file of this corpus.\n".utf8), to: "\(data)/note.txt")
    }
}

/// Where the makers put what they make.
struct CorpusWriter {
    let data: String
    let changes: String

    func put(_ bytes: [UInt8], _ path: String) throws { try Files.write(bytes, to: "\(data)/\(path)") }

    /// The file as it is after the change.
    func change(_ path: String, to bytes: [UInt8]) throws { try Files.write(bytes, to: "\(changes)/\(path)") }

    /// For a file that does not fit into memory: as it is, and as it is after the change.
    func open(_ path: String) throws -> (original: OutputFile, changed: OutputFile) {
        try Files.makeDirectory(data)
        try Files.makeDirectory(changes)
        return (try OutputFile("\(data)/\(path)"), try OutputFile("\(changes)/\(path)"))
    }
}
