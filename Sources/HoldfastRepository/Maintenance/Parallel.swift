/// Items for several threads, and the first failure.
private final class SharedItems<Item: Sendable>: @unchecked Sendable {
    private let condition = Condition()
    // Below: only inside `condition.locked`.
    private var pending: [Item]
    private var running: Int
    private var failure: (any Error)?

    init(_ items: [Item], threads: Int) {
        pending = items.reversed()
        running = threads
    }

    func next() -> Item? { condition.locked { failure == nil ? pending.popLast() : nil } }

    func end(_ error: (any Error)?) {
        condition.locked {
            failure = failure ?? error
            running -= 1
            condition.broadcast()
        }
    }

    func wait() throws {
        try condition.locked {
            while running > 0 { condition.wait() }
            if let failure { throw failure }
        }
    }
}

/// Works on all items with one thread per core; the first failure ends it, and is thrown when all threads stand still.
///
/// - Parameters:
///   - name: of the threads.
///   - makeWorker: called once on each thread, for what one thread owns, such as a `BlobReader`.
func forEachInParallel<Item: Sendable>(
    _ items: [Item], _ name: String, _ makeWorker: @escaping @Sendable () throws -> (Item) throws -> Void
) throws {
    let threads = min(workerCount, items.count)
    let shared = SharedItems(items, threads: threads)
    for number in 0..<threads {
        startThread("\(name)-\(number)") {
            do {
                let worker = try makeWorker()
                while let item = shared.next() { try worker(item) }
                shared.end(nil)
            } catch {
                shared.end(error)
            }
        }
    }
    try shared.wait()
}
