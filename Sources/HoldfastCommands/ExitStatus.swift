import ArgumentParser
import HoldfastModel

/// How a command ends, in numbers: those of the Upsun CLI.
package enum ExitStatus: Int32, Sendable, CaseIterable {
    case success = 0
    /// Failed, declined, or nothing found.
    case failure = 1
    /// No project was named, and none was found where one stands.
    case projectRootNotFound = 2
    case loginRequired = 3
    case invalidConfiguration = 4
    case connectionFailed = 5
    case permissionDenied = 6
    case projectNotFound = 9
    /// As a shell says it of a command that was interrupted.
    case interrupted = 130

    /// The one place where a failure becomes a status.
    package init(of error: any Error) {
        switch error {
        case let failure as CommandFailure: self = failure.status
        case let error as HoldfastError: self = Self.status(of: error.code)
        case is CancellationError: self = .interrupted
        default: self = .failure
        }
    }

    private static func status(of code: HoldfastError.Code) -> ExitStatus {
        switch code {
        case .unauthenticated: .loginRequired
        case .forbidden: .permissionDenied
        case .unavailable, .timedOut: .connectionFailed
        case .cancelled: .interrupted
        case .invalidInput, .notFound, .conflict, .damaged, .wrongPassword, .locked, .noSpace, .unsupported, .system,
            .internalFault:
            .failure
        }
    }
}

/// An end of a command whose status does not follow from the kind of error alone.
package struct CommandFailure: Error, Sendable {
    package let status: ExitStatus
    /// Nil if everything was said already.
    package let error: HoldfastError?

    package init(_ status: ExitStatus, _ error: HoldfastError? = nil) {
        self.status = status
        self.error = error
    }
}
