// HoldfastDoctor: what is wrong with an installation, and what to do about it.
//
// Each check is a value that looks at one thing and answers with findings; it changes nothing, needs no server, and
// never fails itself: what cannot be looked at is a finding. What is decided without looking is a function of its own.

import Foundation
import HoldfastModel

/// What one check found.
package struct Finding: Sendable, Codable, Hashable {
    package enum State: String, Sendable, Codable {
        case good
        /// Worth knowing, and nothing is wrong.
        case note
        case wrong
    }

    /// Of what it is about, such as `sites`.
    package var check: String
    package var state: State
    /// One sentence without a full stop.
    package var what: String
    /// What to do, a sentence that begins with a verb; nil if nothing is to be done.
    package var advice: String?

    package static func good(_ check: String, _ what: String) -> Finding {
        Finding(check: check, state: .good, what: what)
    }

    package static func note(_ check: String, _ what: String, _ advice: String? = nil) -> Finding {
        Finding(check: check, state: .note, what: what, advice: advice)
    }

    package static func wrong(_ check: String, _ what: String, _ advice: String) -> Finding {
        Finding(check: check, state: .wrong, what: what, advice: advice)
    }

    /// An error as a finding.
    ///
    /// - Parameter advice: if the error itself has none.
    package static func wrong(_ check: String, _ error: any Error, _ advice: String) -> Finding {
        guard let error = error as? HoldfastError else { return wrong(check, "\(error)", advice) }
        let cause = error.cause.map { ": \($0)" } ?? ""
        return wrong(check, error.message + cause, error.hint ?? advice)
    }
}

extension [Finding] {
    /// These, or that all is well if there are none.
    func orGood(_ check: String, _ what: String) -> [Finding] { isEmpty ? [.good(check, what)] : self }
}
