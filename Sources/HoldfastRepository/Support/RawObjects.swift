import HoldfastBlobStore
import HoldfastModel

/// Objects that can be looked at as they are, unsealed.
package enum RawObject: Sendable, Hashable {
    case config
    case snapshot(String)
    case index(String)
    case lock(String)
    case key(String)
    /// A tree or a chunk.
    case blob(String)
}

extension Repository {
    /// The plain bytes of one object: JSON, except of a chunk. Never a key that opens anything.
    ///
    /// - Throws: `notFound`, `damaged`, `invalidInput` if the id is not 64 hexadecimal digits.
    package func rawBytes(of object: RawObject) throws -> [UInt8] {
        switch object {
        case .config:
            guard let text = try files.loadConfig() else { throw HoldfastError(.damaged, "the config is not readable") }
            return text
        case .snapshot(let text): return try files.load(.snapshot, record(text).id.object)
        case .index(let text): return try files.load(.index, Self.id(text))
        case .lock(let text): return try files.load(.lock, Self.id(text))
        case .key(let text): return try store.get(BlobName(kind: .key, name: Self.id(text).description))
        case .blob(let text):
            let id = try Self.id(text)
            let index = try currentIndex()
            guard let type = [BlobType.tree, .data].first(where: { index.contains(id, $0) }) else {
                throw HoldfastError(.notFound, "there is no blob \(id) in the repository")
            }
            return try Array(reader(index).read(id, type))
        }
    }

    private static func id(_ text: String) throws -> ObjectID {
        guard let id = ObjectID(hex: text) else {
            throw HoldfastError(.invalidInput, "'\(text)' is not an id", hint: "Give all 64 digits")
        }
        return id
    }
}
