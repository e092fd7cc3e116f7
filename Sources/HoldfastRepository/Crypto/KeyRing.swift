import HoldfastBlobStore
import HoldfastModel

/// A key file, as far as it is for people.
package struct KeyRecord: Sendable, Identifiable {
    /// 64 hexadecimal digits.
    package let id: String
    package internal(set) var username = ""
    package internal(set) var hostname = ""
    /// Nil if it cannot be read.
    package internal(set) var created: Timestamp?
    /// Whether the password at hand opens it.
    package internal(set) var isCurrent = false
    /// Why it cannot be read; nil if it can.
    package internal(set) var fault: String?
}

extension Repository {
    /// All keys, by their names; damaged ones too.
    ///
    /// - Parameter password: the one that is in use; costs one derivation for each key.
    package func keys(current password: Secret) throws -> [KeyRecord] {
        try store.list(.key).map(\.name).sorted { $0.name < $1.name }.compactMap { name -> KeyRecord? in
            var record = KeyRecord(id: name.name)
            do {
                let file = try KeyFile.load(name, from: store)
                record.username = file.username
                record.hostname = file.hostname
                record.created = file.created
                record.isCurrent = try file.open(password) != nil
            } catch let error as HoldfastError where error.code == .notFound {
                return nil  // removed meanwhile
            } catch let error as HoldfastError where error.code == .damaged || error.code == .unsupported {
                record.fault = error.description
            }
            return record
        }
    }

    /// Adds a key for another password.
    ///
    /// - Parameters:
    ///   - username: nil for the user of this process.
    ///   - hostname: nil for this machine.
    /// - Returns: the key's name.
    package func addKey(
        _ password: Secret, scrypt: ScryptCost, username: String? = nil, hostname: String? = nil
    ) throws -> String {
        var file = try KeyFile.seal(key, password: password, cost: scrypt, created: Timestamp(time.now()))
        if let username { file.username = username }
        if let hostname { file.hostname = hostname }
        let text = file.encoded()
        let name = try DigestContext.once(text).description
        try store.put(BlobName(kind: .key, name: name), text)
        return name
    }

    /// Adds a key for a new password, and removes those of the old one then. Nobody else may work here meanwhile.
    ///
    /// - Returns: the new key's name.
    /// - Throws: `locked`, also if the lock was lost before the old ones went: then both passwords open it.
    package func changePassword(from old: Secret, to new: Secret, scrypt: ScryptCost) throws -> String {
        try whileAlone { lock in
            let leaving = try keys(current: old).filter(\.isCurrent)
            let id = try addKey(new, scrypt: scrypt)
            for key in leaving { _ = try removeKey(key.id, current: new, lock: lock) }
            return id
        }
    }

    /// Removes a key, on sites that are away when they are back.
    ///
    /// The repository's own key stays the same: who ever knew a password of it, and kept the key file, can still read.
    ///
    /// - Parameters:
    ///   - text: the beginning of its name.
    ///   - password: the one that is in use; its key is refused, and so is the last one.
    ///   - lock: looked for before anything is removed; nil for none.
    /// - Returns: the key's name.
    /// - Throws: `notFound`, `invalidInput` if several begin so, `conflict`, `locked` if the lock is gone.
    package func removeKey(_ text: String, current password: Secret, lock: LockKeeper? = nil) throws -> String {
        let keys = try keys(current: password)
        let matching = keys.filter { $0.id.hasPrefix(text) }
        guard let found = matching.first, !text.isEmpty else {
            throw HoldfastError(.notFound, "there is no key '\(text)'", hint: "See them with 'key list'")
        }
        guard matching.count == 1 else {
            throw HoldfastError(
                .invalidInput, "\(matching.count) keys begin with '\(text)'", hint: "Give more digits of the key's id")
        }
        guard !found.isCurrent else {
            throw HoldfastError(
                .conflict, "key \(found.id.prefix(8)) is the one in use",
                hint: "Open the repository with another password")
        }
        // Somebody may have removed the one in use meanwhile; damaged ones open nothing.
        guard keys.contains(where: \.isCurrent) else {
            throw HoldfastError(.conflict, "key \(found.id.prefix(8)) is the last one", hint: "Add another one before")
        }
        try remove([BlobName(kind: .key, name: found.id)]) { try lock?.requireHeld() }
        return found.id
    }
}

extension ScryptCost {
    /// Measures what takes half a second here with 32 MiB of memory, as restic does for passwords of people.
    package static func calibrated(_ time: any TimeSource) throws -> ScryptCost {
        let trial = ScryptCost(n: 32_768, r: 8, p: 1)
        let start = time.monotonicNanoseconds()
        _ = try trial.derive(Secret("calibration"), salt: [UInt8](repeating: 7, count: 64))
        let spent = max(time.monotonicNanoseconds() &- start, 1_000_000)
        return ScryptCost(n: trial.n, r: trial.r, p: min(max(Int(500_000_000 / spent), 1), 16))
    }
}
