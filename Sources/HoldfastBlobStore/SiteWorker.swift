import Foundation

/// The one thread of a site, and the queue of what it still has to do, oldest first.
///
/// The queue has no bound of its own: every healthy site's caller waits for its answer, and `Replication` admits only
/// a few calls to a site that is late.
final class SiteWorker: Sendable {
    private struct Queue: Sendable {
        var jobs: [@Sendable () -> Void] = []
        var isClosed = false
    }

    private enum Next {
        case job(@Sendable () -> Void)
        case end
    }

    private let queue = Monitor(Queue())

    /// Starts the thread.
    init(site: String) {
        let thread = Thread { [queue] in
            while case .job(let job) = Self.next(of: queue) { job() }
        }
        thread.name = "site \(site)"
        thread.start()
    }

    deinit { close() }

    func enqueue(_ job: @escaping @Sendable () -> Void) {
        queue.update { $0.jobs.append(job) }
    }

    /// Lets the thread end after the job that it is at; jobs that have not begun are dropped.
    func close() {
        queue.update {
            $0.isClosed = true
            $0.jobs = []
        }
    }

    private static func next(of queue: Monitor<Queue>) -> Next {
        let next: Next? = queue.wait { queue in
            if queue.isClosed { return .end }
            return queue.jobs.isEmpty ? nil : .job(queue.jobs.removeFirst())
        }
        return next ?? .end
    }
}
