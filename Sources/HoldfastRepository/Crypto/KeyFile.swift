import COpenSSL
import Foundation
import Glibc
import HoldfastBlobStore
import HoldfastModel

/// What scrypt costs: memory is `128 * n * r` bytes, time grows with `n * r * p`.
public struct ScryptCost: Sendable, Hashable {
    public let n: Int
    public let r: Int
    public let p: Int

    /// - Parameter n: a power of two.
    public init(n: Int, r: Int, p: Int) {
        self.n = n
        self.r = r
        self.p = p
    }

    /// For passwords of 256 random bits only: nobody can guess them, so a slow derivation would protect nothing.
    public static let randomPassword = ScryptCost(n: 1024, r: 8, p: 1)
    /// For passwords that people choose: 128 MiB and about a second.
    public static let humanPassword = ScryptCost(n: 131_072, r: 8, p: 3)

    /// Refuses costs that no sensible key has: a key file is not sealed, and anybody may have written it.
    ///
    /// - Throws: `damaged` beyond 1 GiB of memory, or beyond about ten times the work of `humanPassword`.
    func validate() throws {
        guard n > 1, n & (n - 1) == 0, (1...64).contains(r), (1...64).contains(p), n <= 1 << 22, n * r <= 1 << 23,
            n * r * p <= 1 << 25
        else {
            throw HoldfastError(.damaged, "the scrypt cost N=\(n) r=\(r) p=\(p) is not acceptable")
        }
    }

    /// Derives 64 bytes.
    func derive(_ password: Secret, salt: [UInt8]) throws -> [UInt8] {
        try validate()
        var text = password.reveal()
        var derived = [UInt8](repeating: 0, count: 64)
        let limit = UInt64(128 * n * r + 128 * r * p + (4 << 20)) * 2
        let result = text.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) { characters in
                EVP_PBE_scrypt(
                    characters.baseAddress, characters.count, salt, salt.count, UInt64(n), UInt64(r), UInt64(p),
                    limit, &derived, 64)
            }
        }
        guard result == 1 else { throw libraryFault("EVP_PBE_scrypt") }
        return derived
    }
}

/// A file below `keys/`: plain JSON that holds the master key, sealed with a key derived from a password.
struct KeyFile {
    var cost: ScryptCost
    var salt: [UInt8]
    var data: [UInt8]
    var created: Timestamp
    var username: String
    var hostname: String

    /// Seals `master` under the password.
    static func seal(_ master: MasterKey, password: Secret, cost: ScryptCost, created: Timestamp) throws -> KeyFile {
        let salt = try randomBytes(64)
        let derived = try MasterKey(derived: cost.derive(password, salt: salt))
        let data = try SealingContext(derived).sealed(text(of: master))
        return KeyFile(
            cost: cost, salt: salt, data: data, created: created, username: Machine.userName, hostname: Machine.hostName
        )
    }

    /// Reads a key file, and makes sure that its bytes are those that its name, a hash, stands for.
    ///
    /// - Throws: `damaged` naming it, `unsupported`, or what the store throws.
    static func load(_ name: BlobName, from store: any BlobStore) throws -> KeyFile {
        let bytes = try store.get(name, range: nil) { bytes in
            (try? DigestContext.once(bytes).description) == name.name
        }
        return try KeyFile(decoding: bytes, name: name.name)
    }

    /// The master key; nil if the password is not this key's.
    func open(_ password: Secret) throws -> MasterKey? {
        let derived = try MasterKey(derived: cost.derive(password, salt: salt))
        guard let text = try SealingContext(derived).opened(data) else { return nil }
        return try Self.masterKey(decoding: text)
    }

    /// The JSON that is sealed in a key file.
    static func text(of master: MasterKey) -> [UInt8] {
        var writer = JSONWriter()
        writer.literal("{\"mac\":{\"k\":")
        writer.base64(master.macK)
        writer.literal(",\"r\":")
        writer.base64(master.macR)
        writer.literal("},\"encrypt\":")
        writer.base64(master.encrypt)
        writer.literal("}")
        return writer.bytes
    }

    /// Reads what `text` wrote.
    static func masterKey(decoding text: [UInt8]) throws -> MasterKey {
        var encrypt: [UInt8] = []
        var macK: [UInt8] = []
        var macR: [UInt8] = []
        try JSONReader.read(text, what: "master key") { reader in
            try reader.object { key, reader in
                if key == "encrypt" {
                    encrypt = try reader.base64()
                } else if key == "mac" {
                    try reader.object { key, reader in
                        if key == "k" {
                            macK = try reader.base64()
                        } else if key == "r" {
                            macR = try reader.base64()
                        } else {
                            try reader.skipValue()
                        }
                    }
                } else {
                    try reader.skipValue()
                }
            }
        }
        return try MasterKey(encrypt: encrypt, macK: macK, macR: macR)
    }

    func encoded() -> [UInt8] {
        var writer = JSONWriter()
        writer.literal("{\"created\":")
        writer.time(created)
        writer.literal(",\"username\":")
        writer.string(username)
        writer.literal(",\"hostname\":")
        writer.string(hostname)
        writer.literal(",\"kdf\":\"scrypt\",\"N\":")
        writer.number(cost.n)
        writer.literal(",\"r\":")
        writer.number(cost.r)
        writer.literal(",\"p\":")
        writer.number(cost.p)
        writer.literal(",\"salt\":")
        writer.base64(salt)
        writer.literal(",\"data\":")
        writer.base64(data)
        writer.literal("}")
        return writer.bytes
    }

    init(cost: ScryptCost, salt: [UInt8], data: [UInt8], created: Timestamp, username: String, hostname: String) {
        self.cost = cost
        self.salt = salt
        self.data = data
        self.created = created
        self.username = username
        self.hostname = hostname
    }

    init(decoding bytes: [UInt8], name: String) throws {
        var kdf = ""
        var cost = (n: 0, r: 0, p: 0)
        var salt: [UInt8] = []
        var data: [UInt8] = []
        var created = Timestamp.zero
        var (username, hostname) = ("", "")
        try JSONReader.read(bytes, what: "key \(name)") { reader in
            try reader.object { key, reader in
                if key == "kdf" {
                    kdf = try reader.text()
                } else if key == "N" {
                    cost.n = try reader.integer()
                } else if key == "r" {
                    cost.r = try reader.integer()
                } else if key == "p" {
                    cost.p = try reader.integer()
                } else if key == "salt" {
                    salt = try reader.base64()
                } else if key == "data" {
                    data = try reader.base64()
                } else if key == "created" {
                    created = try reader.time()
                } else if key == "username" {
                    username = try reader.text()
                } else if key == "hostname" {
                    hostname = try reader.text()
                } else {
                    try reader.skipValue()
                }
            }
        }
        guard kdf == "scrypt" else {
            throw HoldfastError(.unsupported, "key \(name) uses the derivation '\(kdf)', only scrypt is known")
        }
        self.init(
            cost: ScryptCost(n: cost.n, r: cost.r, p: cost.p), salt: salt, data: data, created: created,
            username: username, hostname: hostname)
    }
}

/// What key files, locks and snapshots say about this machine and user, for people only.
enum Machine {
    static let hostName: String = {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, 255) == 0 else { return "localhost" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }()

    static let userName: String = {
        guard let entry = getpwuid(geteuid()), let name = entry.pointee.pw_name else { return "\(geteuid())" }
        return String(cString: name)
    }()
}
