import Foundation
import HoldfastRepositoryCommands

/// What becomes of a repository verb that is interrupted: it gives its locks back, and ends with 130.
enum InterruptedRepository {
    static func tidyUpOnSignals() {
        let queue = DispatchQueue(label: "holdfast-signals")
        for number in [SIGINT, SIGTERM, SIGHUP] {
            Foundation.signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler {
                // The handler keeps its source for as long as the process lives.
                withExtendedLifetime(source) { VerbInterruption.tidyUp() }
                _exit(RepositoryStatus.interrupted.rawValue)
            }
            source.resume()
        }
    }
}
