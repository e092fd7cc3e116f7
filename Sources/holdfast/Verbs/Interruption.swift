import Foundation
import HoldfastRepositoryCommands
import Synchronization

/// What becomes of a repository verb that is interrupted: it gives its locks back, and ends with 130.
enum InterruptedRepository {
    private static let sources = Mutex<[any DispatchSourceSignal]>([])

    static func tidyUpOnSignals() {
        let queue = DispatchQueue(label: "holdfast-signals")
        for number in [SIGINT, SIGTERM, SIGHUP] {
            Foundation.signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler {
                VerbInterruption.tidyUp()
                _exit(RepositoryStatus.interrupted.rawValue)
            }
            source.resume()
            sources.withLock { $0.append(source) }
        }
    }
}
