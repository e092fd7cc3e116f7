import Foundation
import HoldfastModel

/// Runs blocking work on a thread of its own, for callers that are async: their pool stays free.
///
/// - Parameter label: the thread's name.
package func offload<Result: Sendable>(
    _ label: String, _ work: @Sendable @escaping () throws -> Result
) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        startThread(label) {
            continuation.resume(with: Swift.Result { try work() })
        }
    }
}

/// Starts a thread with a stack that is large enough for JSON, YAML and the like.
package func startThread(_ label: String, _ work: @Sendable @escaping () -> Void) {
    let thread = Thread(block: work)
    thread.name = label
    thread.stackSize = 1 << 20
    thread.start()
}
