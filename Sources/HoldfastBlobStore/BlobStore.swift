// HoldfastBlobStore: where the encrypted objects of a repository lie.
// A blob store puts, gets, lists and deletes immutable objects by name, and knows nothing of what is in them.
// Stores: a folder in restic's layout, memory, several sites as one; wrappers that retry, and that fail on purpose.
// All calls block and may be made from any thread; none belongs on Swift's cooperative pool.
// Every implementation passes the same suite, BlobStoreContract in HoldfastTestSupport.

import HoldfastModel

/// A place for immutable, named objects: one restic repository.
///
/// The contract, which every implementation keeps and `BlobStoreContract` tests:
///
/// - **Names.** A name that is not valid (`BlobName.isValid`) is refused with `invalidInput`, and nothing is touched.
/// - **Put is atomic.** No other call ever sees a part of an object, nor does anybody after a crash.
/// - **Put is durable when it returns**: the object survives a loss of power.
/// - **Put is idempotent.** When it returns, exactly the given bytes are stored under that name. An object that is
///   there already with the same bytes is left alone; one with other bytes is damaged, because a name is the hash of
///   its bytes, and is replaced. Only `config` has no hash: other bytes there are a `conflict`, and stay.
/// - **A put that throws** may have stored the object or not, never a part of it. Calling it again is harmless.
/// - **Exactness.** A range is answered with exactly its bytes or `damaged`; never with fewer.
/// - **Missing** is `notFound` only if the store could look; a store that is not there is `unavailable`.
/// - **Delete** is durable when it returns; deleting what is not there is no error.
/// - **Listing** is in no order. It holds everything whose put returned before and whose delete did not begin; what is
///   put or deleted meanwhile may be in it or not. Unfinished objects and foreign files are never in it.
/// - **Threads.** Every call may be made from several threads at once.
///
/// Errors are `HoldfastError`: besides the above, `noSpace` (the disk or quota is full), `unavailable` and `timedOut`
/// (try later), `damaged`, and `system`.
public protocol BlobStore: Sendable {
    /// Stores an object, unless it is stored already.
    ///
    /// - Parameters:
    ///   - name: Its name; for all kinds but `config` the SHA-256 of the bytes. The store does not check that.
    ///   - bytes: All of it, typically a pack of 16 MiB. Not used after the call returns.
    /// - Throws: `invalidInput`, `conflict` (a different config is there), `noSpace`, `unavailable`, `system`.
    func put(_ name: BlobName, _ bytes: UnsafeRawBufferPointer) throws

    /// All bytes of an object.
    ///
    /// - Throws: `notFound`, `damaged` (it is not a readable object), `unavailable`, `system`.
    func get(_ name: BlobName) throws -> [UInt8]

    /// Exactly the bytes of `range`, counted from the object's start.
    ///
    /// - Throws: `notFound`; `damaged` if the object ends before the range does; `unavailable`, `system`.
    func get(_ name: BlobName, range: Range<Int>) throws -> [UInt8]

    /// A read that is checked by the caller: bytes that fail `isGood` are not accepted, and a store that has other
    /// copies tries those.
    ///
    /// - Parameters:
    ///   - range: nil for the whole object.
    ///   - isGood: For example a comparison of the hash; called once for each copy tried.
    /// - Throws: `damaged` if there are copies and none is good; else as `get`.
    func get(_ name: BlobName, range: Range<Int>?, where isGood: ([UInt8]) -> Bool) throws -> [UInt8]

    /// Length of an object in bytes.
    ///
    /// - Throws: as `get`.
    func size(_ name: BlobName) throws -> Int

    /// Names and sizes of all objects of a kind, in no order.
    ///
    /// - Throws: `unavailable`, `system`. A store that holds none answers with an empty list.
    func list(_ kind: BlobKind) throws -> [BlobEntry]

    /// Removes an object; no error if there is none.
    ///
    /// - Throws: `unavailable`, `system`.
    func delete(_ name: BlobName) throws

    /// The device that the store lies on (`st_dev`), to tell whether two stores would be lost together; nil if the
    /// store lies on none, or cannot be reached.
    func device() -> UInt64?
}

extension BlobStore {
    /// Stores the bytes of an array; see `put(_:_:)`.
    public func put(_ name: BlobName, _ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { try put(name, $0) }
    }

    public func get(_ name: BlobName, range: Range<Int>?, where isGood: ([UInt8]) -> Bool) throws -> [UInt8] {
        let bytes = if let range { try get(name, range: range) } else { try get(name) }
        guard isGood(bytes) else {
            throw HoldfastError(
                .damaged, "the stored bytes of \(name) are not the right ones",
                hint: "Run a check of the repository, and repair it from another site")
        }
        return bytes
    }

    public func device() -> UInt64? { nil }
}
