import Foundation
import Synchronization

/// A thread that takes blocking steps one after the other, for an async caller. It ends with the lane.
final class BlockingLane: Sendable {
    private let queue = StepQueue()

    /// - Parameter label: the thread's name.
    init(_ label: String) {
        let queue = queue
        let thread = Thread { queue.work() }
        thread.name = label
        thread.stackSize = 1 << 18
        thread.start()
    }

    deinit { queue.close() }

    /// Takes one step on the lane's thread.
    func run<Value: Sendable>(_ step: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            queue.add { continuation.resume(with: Result { try step() }) }
        }
    }
}

/// The steps that wait. The thread holds on to it, not to the lane.
private final class StepQueue: Sendable {
    private let steps = Mutex<[@Sendable () -> Void]>([])
    private let count = DispatchSemaphore(value: 0)

    func add(_ step: @escaping @Sendable () -> Void) {
        steps.withLock { $0.append(step) }
        count.signal()
    }

    func close() { count.signal() }

    func work() {
        while true {
            count.wait()
            let step = steps.withLock { $0.isEmpty ? nil : $0.removeFirst() }
            // Signalled without a step: closed, and every step before that was taken.
            guard let step else { return }
            step()
        }
    }
}
