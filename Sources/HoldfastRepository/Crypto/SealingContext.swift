import COpenSSL
import HoldfastModel

/// Seals and opens with AES-256-CTR and Poly1305-AES: `IV || ciphertext || MAC`. One thread at a time.
///
/// Source: restic's design document, "Keys, Encryption and MAC"; D. J. Bernstein, The Poly1305-AES
/// message-authentication code (2005).
final class SealingContext {
    /// Bytes that sealing adds.
    static let overhead = 32
    /// The longest text that is ever sealed or opened: it bounds what a hostile length can make us allocate.
    static let longest = 512 << 20

    private let cipher: OpaquePointer
    private let block: OpaquePointer
    private let mac: OpaquePointer
    /// r, then s of the message at hand.
    private let macKey: UnsafeMutablePointer<UInt8>
    private var nonces: [UInt8]
    private var nonceOffset: Int

    init(_ key: MasterKey) throws {
        let algorithms = try Algorithms.shared()
        guard let cipher = EVP_CIPHER_CTX_new() else { throw libraryFault("EVP_CIPHER_CTX_new") }
        self.cipher = cipher
        guard let block = EVP_CIPHER_CTX_new() else {
            EVP_CIPHER_CTX_free(cipher)
            throw libraryFault("EVP_CIPHER_CTX_new")
        }
        self.block = block
        guard let mac = EVP_MAC_CTX_new(algorithms.mac) else {
            EVP_CIPHER_CTX_free(cipher)
            EVP_CIPHER_CTX_free(block)
            throw libraryFault("EVP_MAC_CTX_new")
        }
        self.mac = mac
        macKey = UnsafeMutablePointer<UInt8>.allocate(capacity: 32)
        macKey.initialize(repeating: 0, count: 32)
        for index in 0..<16 { macKey[index] = key.macR[index] }
        nonces = [UInt8](repeating: 0, count: 4096)
        nonceOffset = nonces.count
        guard EVP_EncryptInit_ex2(cipher, algorithms.counterMode, key.encrypt, nil, nil) == 1,
            EVP_EncryptInit_ex2(block, algorithms.block, key.macK, nil, nil) == 1,
            EVP_CIPHER_CTX_set_padding(block, 0) == 1
        else { throw libraryFault("EVP_EncryptInit") }
    }

    deinit {
        EVP_CIPHER_CTX_free(cipher)
        EVP_CIPHER_CTX_free(block)
        EVP_MAC_CTX_free(mac)
        OPENSSL_cleanse(macKey, 32)
        macKey.deallocate()
    }

    /// Seals `plain` into `target`, which holds `plain.count + overhead` bytes and may not overlap it.
    ///
    /// - Returns: how many bytes were written.
    @discardableResult
    func seal(_ plain: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) throws -> Int {
        guard plain.count <= Self.longest, target.count >= plain.count + Self.overhead,
            let base = target.baseAddress
        else { throw libraryFault("sealing \(plain.count) bytes") }
        let nonce = base.assumingMemoryBound(to: UInt8.self)
        try takeNonce(into: nonce)
        try crypt(plain.baseAddress, count: plain.count, nonce: nonce, into: nonce + 16)
        try authenticate(nonce: nonce, text: nonce + 16, count: plain.count, into: nonce + 16 + plain.count)
        return plain.count + Self.overhead
    }

    /// Opens `sealed` into `target`, which holds `sealed.count - overhead` bytes; nil if the MAC is wrong.
    func open(_ sealed: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) throws -> Int? {
        let count = sealed.count - Self.overhead
        guard count >= 0, count <= Self.longest, let base = sealed.baseAddress, target.count >= count,
            let output = target.baseAddress
        else { return nil }
        let nonce = base.assumingMemoryBound(to: UInt8.self)
        let isAuthentic = try withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 16) { tag -> Bool in
            guard let tag = tag.baseAddress else { return false }
            try authenticate(nonce: nonce, text: nonce + 16, count: count, into: tag)
            return CRYPTO_memcmp(tag, nonce + 16 + count, 16) == 0
        }
        guard isAuthentic else { return nil }
        try crypt(nonce + 16, count: count, nonce: nonce, into: output.assumingMemoryBound(to: UInt8.self))
        return count
    }

    private func takeNonce(into target: UnsafeMutablePointer<UInt8>) throws {
        if nonceOffset == nonces.count {
            try nonces.withUnsafeMutableBytes { try fillRandom($0) }
            nonceOffset = 0
        }
        for index in 0..<16 { target[index] = nonces[nonceOffset + index] }
        nonceOffset += 16
    }

    private func crypt(
        _ input: UnsafeRawPointer?, count: Int, nonce: UnsafePointer<UInt8>, into output: UnsafeMutablePointer<UInt8>
    ) throws {
        var written: Int32 = 0
        guard EVP_EncryptInit_ex2(cipher, nil, nil, nonce, nil) == 1,
            EVP_EncryptUpdate(
                cipher, output, &written, input?.assumingMemoryBound(to: UInt8.self), Int32(count)) == 1,
            written == count
        else { throw libraryFault("EVP_EncryptUpdate") }
    }

    private func authenticate(
        nonce: UnsafePointer<UInt8>, text: UnsafePointer<UInt8>, count: Int, into tag: UnsafeMutablePointer<UInt8>
    ) throws {
        var written: Int32 = 0
        var length = 0
        guard EVP_EncryptUpdate(block, macKey + 16, &written, nonce, 16) == 1, written == 16,
            EVP_MAC_init(mac, macKey, 32, nil) == 1,
            EVP_MAC_update(mac, text, count) == 1,
            EVP_MAC_final(mac, tag, &length, 16) == 1, length == 16
        else { throw libraryFault("EVP_MAC") }
    }
}

extension SealingContext {
    func sealed(_ plain: [UInt8]) throws -> [UInt8] {
        var result = [UInt8](repeating: 0, count: plain.count + Self.overhead)
        _ = try plain.withUnsafeBytes { plain in
            try result.withUnsafeMutableBytes { try seal(plain, into: $0) }
        }
        return result
    }

    /// The text of `sealed`; nil if it is not authentic.
    func opened(_ sealed: [UInt8]) throws -> [UInt8]? {
        guard sealed.count >= Self.overhead else { return nil }
        // One byte more keeps the buffer's address valid for an empty text.
        var result = [UInt8](repeating: 0, count: sealed.count - Self.overhead + 1)
        let count = try sealed.withUnsafeBytes { sealed in
            try result.withUnsafeMutableBytes { try open(sealed, into: $0) }
        }
        guard let count else { return nil }
        result.removeLast(result.count - count)
        return result
    }
}
