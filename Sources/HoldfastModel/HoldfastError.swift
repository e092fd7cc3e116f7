/// The one shape of error that crosses a boundary between targets.
///
/// The message is lower case, without a full stop, and names the thing and the value; the hint is a sentence that
/// begins with a verb and says what to do. Neither is ever matched by its text: callers look at `code`.
public struct HoldfastError: Error, Sendable, CustomStringConvertible {
    public let code: Code
    public let message: String
    public let hint: String?
    public let cause: (any Error)?

    public init(_ code: Code, _ message: String, hint: String? = nil, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
        self.cause = cause
    }

    /// Message, cause and hint in one line for people.
    public var description: String {
        var text = message
        if let cause { text += ": \(cause)" }
        if let hint { text += ". \(hint)" }
        return text
    }

    /// What kind of failure it is. Mapped once per edge: to an HTTP status, to an exit status.
    public enum Code: String, Sendable, Codable, CaseIterable {
        /// The caller's input is wrong; the same call fails again.
        case invalidInput
        case notFound
        /// The thing exists already, or its state does not allow the call now.
        case conflict
        /// No credentials, or wrong ones.
        case unauthenticated
        /// The caller is known, and may not do this.
        case forbidden
        /// A process, site or service cannot be reached now; trying again later may help.
        case unavailable
        /// Stored bytes are not what they should be.
        case damaged
        case wrongPassword
        /// Somebody else holds a lock that excludes this call.
        case locked
        case noSpace
        case timedOut
        case cancelled
        /// Understood, and not offered by this version or this machine.
        case unsupported
        /// A system call failed in a way that no other code names.
        case system
        /// A fault of Holdfast itself.
        case internalFault
    }

    /// Whether trying the same call again later may succeed without anyone changing anything.
    public var isTemporary: Bool {
        switch code {
        case .unavailable, .locked, .timedOut: true
        case .invalidInput, .notFound, .conflict, .unauthenticated, .forbidden, .damaged, .wrongPassword, .noSpace,
            .cancelled, .unsupported, .system, .internalFault:
            false
        }
    }
}
