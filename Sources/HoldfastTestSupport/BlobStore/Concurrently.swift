import Foundation
import HoldfastModel
import Synchronization
import Testing

/// Runs blocking code on threads of its own.
package enum Concurrently {
    /// Starts that many threads, waits for all of them, and returns the errors that they threw.
    package static func run(threads: Int, _ body: @escaping @Sendable (Int) throws -> Void) -> [String] {
        let errors = Errors()
        let group = DispatchGroup()
        for number in 0..<threads {
            group.enter()
            Thread {
                do { try body(number) } catch { errors.list.withLock { $0.append("\(error)") } }
                group.leave()
            }.start()
        }
        group.wait()
        return errors.list.withLock { $0 }
    }

    private final class Errors: Sendable {
        let list = Mutex<[String]>([])
    }
}

/// Expects that the body throws a `HoldfastError` with that code.
package func expectFailure<Answer>(
    _ code: HoldfastError.Code, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Answer
) {
    do {
        _ = try body()
        Issue.record("nothing was thrown, and '\(code)' was expected", sourceLocation: sourceLocation)
    } catch let error as HoldfastError {
        #expect(error.code == code, "\(error)", sourceLocation: sourceLocation)
    } catch {
        Issue.record("thrown was \(error), and '\(code)' was expected", sourceLocation: sourceLocation)
    }
}
