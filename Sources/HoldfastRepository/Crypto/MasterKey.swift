import HoldfastModel

/// The three keys that seal everything in a repository: AES-256 for the text, AES-128 and r for Poly1305-AES.
struct MasterKey: Sendable, CustomStringConvertible, CustomReflectable {
    /// 32 bytes.
    let encrypt: [UInt8]
    /// 16 bytes: the AES key that turns a nonce into Poly1305's s.
    let macK: [UInt8]
    /// 16 bytes: Poly1305's r; the bits that must be zero are masked when it is used.
    let macR: [UInt8]

    init(encrypt: [UInt8], macK: [UInt8], macR: [UInt8]) throws {
        guard encrypt.count == 32, macK.count == 16, macR.count == 16 else {
            throw HoldfastError(.damaged, "a key of the repository has the wrong length")
        }
        self.encrypt = encrypt
        self.macK = macK
        self.macR = macR
    }

    /// Splits 64 derived bytes: encryption key, k, r.
    init(derived: [UInt8]) throws {
        guard derived.count == 64 else { throw libraryFault("scrypt") }
        try self.init(
            encrypt: Array(derived[0..<32]), macK: Array(derived[32..<48]), macR: Array(derived[48..<64]))
    }

    static func random() throws -> MasterKey { try MasterKey(derived: randomBytes(64)) }

    var description: String { "***" }
    var customMirror: Mirror { Mirror(self, children: []) }
}
