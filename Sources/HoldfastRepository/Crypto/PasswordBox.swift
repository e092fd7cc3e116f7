import Foundation
import HoldfastModel

/// A secret sealed with a password that people choose: scrypt, then AES-256-CTR and Poly1305-AES, as a key file.
package struct PasswordBox: Sendable, Codable, Hashable {
    package var n: Int
    package var r: Int
    package var p: Int
    package var salt: Data
    package var data: Data

    /// Takes about a second, and 128 MiB of memory.
    package static func seal(_ secret: Secret, password: Secret) throws -> PasswordBox {
        let cost = ScryptCost.humanPassword
        let salt = try randomBytes(64)
        let key = try MasterKey(derived: cost.derive(password, salt: salt))
        let sealed = try SealingContext(key).sealed(Array(secret.reveal().utf8))
        return PasswordBox(n: cost.n, r: cost.r, p: cost.p, salt: Data(salt), data: Data(sealed))
    }

    /// - Throws: `wrongPassword`; `damaged` for a cost that is not acceptable.
    package func open(_ password: Secret) throws -> Secret {
        let key = try MasterKey(derived: ScryptCost(n: n, r: r, p: p).derive(password, salt: Array(salt)))
        guard let plain = try SealingContext(key).opened(Array(data)) else {
            throw HoldfastError(.wrongPassword, "the password does not open the kit", hint: "Give the kit's password")
        }
        return Secret(String(decoding: plain, as: UTF8.self))
    }
}
