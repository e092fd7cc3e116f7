import HoldfastModel

/// The config object: which format, which repository.
struct RepositoryConfig: Sendable, Hashable {
    var version: Int
    /// 64 hexadecimal digits.
    var id: String
    var polynomial: Polynomial

    static func random() throws -> RepositoryConfig {
        var generator = SystemRandomNumberGenerator()
        return RepositoryConfig(
            version: 2, id: hexString(try randomBytes(32)),
            polynomial: try Polynomial.randomIrreducible(using: &generator))
    }

    func encoded() -> [UInt8] {
        var writer = JSONWriter()
        writer.literal("{\"version\":")
        writer.number(version)
        writer.literal(",\"id\":")
        writer.string(id)
        writer.literal(",\"chunker_polynomial\":")
        writer.string(String(polynomial.bits, radix: 16))
        writer.literal("}")
        return writer.bytes
    }

    init(version: Int, id: String, polynomial: Polynomial) {
        self.version = version
        self.id = id
        self.polynomial = polynomial
    }

    /// The text of a sealed config; nil if it is not sealed with this key, or is another object in a config's place.
    static func opened(_ sealed: [UInt8], _ sealing: SealingContext) -> [UInt8]? {
        guard let text = (try? sealing.opened(sealed)) ?? nil else { return nil }
        do {
            _ = try RepositoryConfig(decoding: text)
            return text
        } catch {
            // One of another version is a config all the same; whoever reads it says so.
            return (error as? HoldfastError)?.code == .unsupported ? text : nil
        }
    }

    init(decoding bytes: [UInt8]) throws {
        var version = 0
        var id = ""
        var polynomial: UInt64?
        try JSONReader.read(bytes, what: "config") { reader in
            try reader.object { key, reader in
                if key == "version" {
                    version = try reader.integer()
                } else if key == "id" {
                    id = try reader.text()
                } else if key == "chunker_polynomial" {
                    polynomial = UInt64(try reader.text(), radix: 16)
                } else {
                    try reader.skipValue()
                }
            }
        }
        guard version != 0 else { throw HoldfastError(.damaged, "config names no version, so it is none") }
        guard version == 2 else {
            throw HoldfastError(
                .unsupported, "the repository has format version \(version), only version 2 is supported",
                hint: "Upgrade it with 'restic migrate upgrade_repo_v2'")
        }
        guard let polynomial, Polynomial(bits: polynomial).isIrreducible else {
            throw HoldfastError(.damaged, "the repository's chunker polynomial is not irreducible")
        }
        self.init(version: version, id: id, polynomial: Polynomial(bits: polynomial))
    }
}
