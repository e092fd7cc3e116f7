import HoldfastCatalogue
import HoldfastModel

/// What one asks of a repository, as Git names it.
package enum GitService: String, Sendable, CaseIterable {
    /// Fetch and clone.
    case uploadPack = "git-upload-pack"
    /// Push.
    case receivePack = "git-receive-pack"
}

/// One request of Git's smart HTTP protocol by somebody who may ask for it. Nothing in it is a path.
package struct GitRequest: Sendable {
    package var project: ProjectID
    package var service: GitService
    /// Asks which references there are; else the service itself is asked for, with a body.
    package var isAdvertisement: Bool
    /// Who it is, and with which token.
    package var session: Session
    package var contentType: String?
    /// `gzip`, or nil if the body is as it is.
    package var contentEncoding: String?
    /// Bytes of the body; nil if they come in chunks.
    package var contentLength: Int?
    /// The client's `Git-Protocol`, such as `version=2`.
    package var protocolVersion: String?
}

/// Answers requests of Git's smart HTTP protocol as CGI does. Blocks; the server never calls it on Swift's cooperative
/// pool. Access was checked before, but for the branches of a push, which nobody knows yet.
package protocol GitBackend: Sendable {
    /// - Throws: `notFound` if Git or the repository is missing.
    func start(_ request: GitRequest) throws -> any GitExchange
}

/// One running answer. `write` and `closeInput` are called by one thread, `read` by another.
package protocol GitExchange: Sendable {
    /// Gives a piece of the request's body and waits until it is taken.
    ///
    /// - Throws: if nobody takes it any more.
    func write(_ bytes: [UInt8]) throws

    /// The body is complete, or the client is gone.
    func closeInput()

    /// Waits for a piece of the answer: CGI's head, then the body; empty at the end.
    func read() throws -> [UInt8]

    /// Ends it at once, also while another thread is in `read` or `write`; harmless when it has ended. Does not wait.
    func stop()
}
