import HoldfastModel

/// What an object is, which decides where it lies. The kinds and folders are those of restic's repository layout, and
/// two of our own beside them.
public enum BlobKind: String, CaseIterable, Sendable {
    /// The one object without a hash as its name: version, id and chunker polynomial of the repository.
    case config
    case key
    case lock
    case snapshot
    case index
    /// A pack of blobs; by far the most and the largest.
    case data
    /// What was removed on purpose, until every site has removed it. Of Holdfast; restic does not look there.
    case deletion
    /// What the catalogue knows of a project, for a machine that lost it. Of Holdfast; restic does not look there.
    case record

    /// Name of its folder below the root; empty for the config, which is a file there.
    public var folder: String {
        switch self {
        case .config: ""
        case .key: "keys"
        case .lock: "locks"
        case .snapshot: "snapshots"
        case .index: "index"
        case .data: "data"
        case .deletion: "holdfast-deletions"
        case .record: "holdfast-records"
        }
    }

    /// Whether the kind belongs to restic's layout; the folders of the others are made when they are needed.
    public var isOfRestic: Bool { self != .deletion && self != .record }
}

/// The name of an object: its kind, and the SHA-256 of its bytes in 64 lowercase hexadecimal digits.
public struct BlobName: Hashable, Sendable, CustomStringConvertible {
    public let kind: BlobKind
    /// 64 lowercase hexadecimal digits; empty for the config.
    public let name: String

    /// Takes any text; the stores refuse names that are not valid.
    public init(kind: BlobKind, name: String) {
        self.kind = kind
        self.name = name
    }

    /// The name for a hash of 32 bytes.
    public init(kind: BlobKind, digest: some Sequence<UInt8>) {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        text.reserveCapacity(64)
        for byte in digest {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        self.init(kind: kind, name: String(decoding: text, as: UTF8.self))
    }

    public static let config = BlobName(kind: .config, name: "")

    /// Whether the name is of the form that its kind asks for. Only valid names may become part of a path.
    public var isValid: Bool { kind == .config ? name.isEmpty : Self.isHash(name) }

    /// Path below a repository's root: `config`, `keys/<name>`, `data/<first two digits>/<name>`.
    public var path: String {
        switch kind {
        case .config: "config"
        case .data: "data/\(name.prefix(2))/\(name)"
        case .key, .lock, .snapshot, .index, .deletion, .record: "\(kind.folder)/\(name)"
        }
    }

    public var description: String { path }

    /// - Throws: `invalidInput` if the name is not valid.
    func validate() throws {
        guard isValid else {
            throw HoldfastError(.invalidInput, "'\(name)' is not the name of a \(kind.rawValue) object")
        }
    }

    private static func isHash(_ text: String) -> Bool {
        text.utf8.count == 64
            && text.utf8.allSatisfy { byte in
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                    || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
            }
    }
}

/// One line of a listing.
public struct BlobEntry: Hashable, Sendable {
    public let name: BlobName
    /// In bytes.
    public let size: Int

    public init(name: BlobName, size: Int) {
        self.name = name
        self.size = size
    }
}

extension BlobName {
    /// The error for an object that is not there.
    var notFound: HoldfastError { HoldfastError(.notFound, "\(self) is not in the repository") }

    /// The error for an object that ends before a range does.
    func tooShort(for range: Range<Int>, size: Int) -> HoldfastError {
        HoldfastError(
            .damaged, "\(self) has \(size) bytes, and bytes \(range.lowerBound) to \(range.upperBound) were asked for",
            hint: "Run a check of the repository, and repair it from another site")
    }

    /// The error for a config that would replace another one.
    var differentConfig: HoldfastError {
        HoldfastError(
            .conflict, "another repository is there already: its config differs",
            hint: "Choose an empty folder, or open the repository that is there")
    }
}
