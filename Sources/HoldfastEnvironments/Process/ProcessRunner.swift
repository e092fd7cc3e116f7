import CHoldfastSystem
import Foundation
import HoldfastModel

/// What a scoped run may take and give.
package struct ProcessOptions {
    /// Written to the program's input, which then ends.
    package var input: [UInt8]
    /// nil: as long as it takes.
    package var timeout: Duration?
    /// From SIGTERM to SIGKILL, after the time-out.
    package var grace: Duration
    /// Bytes that are kept of output and of errors, each: the first half and the last half of it.
    package var outputLimit: Int
    /// Errors go where the output goes, in the order of writing.
    package var mergesErrors: Bool
    /// Called for each line of output and of errors as it comes, without its newline.
    package var onLine: ((String) -> Void)?
    /// Asked several times a second; yes ends the program as the time-out would.
    package var isCancelled: (() -> Bool)?

    package init(
        timeout: Duration? = nil, input: [UInt8] = [], outputLimit: Int = 1 << 20, mergesErrors: Bool = false,
        onLine: ((String) -> Void)? = nil
    ) {
        self.input = input
        self.timeout = timeout
        self.grace = .seconds(2)
        self.outputLimit = outputLimit
        self.mergesErrors = mergesErrors
        self.onLine = onLine
    }
}

/// What a program did.
package struct ProcessOutcome: Sendable {
    package let status: ProcessStatus
    /// Whether it was ended because it took longer than allowed.
    package let timedOut: Bool
    /// Whether it was ended because it was cancelled.
    package var wasCancelled = false
    package let output: [UInt8]
    package let errors: [UInt8]

    package var isSuccess: Bool { status.isSuccess && !timedOut && !wasCancelled }
    package var text: String { String(decoding: output, as: UTF8.self) }
    /// What it said on its error output; its output if the two were merged.
    package var errorText: String {
        String(decoding: errors.isEmpty ? output : errors, as: UTF8.self)
            .trimmingCharacters(in: .whitespacesAndNewlines)
    }
}

/// Runs programs to their end: git, initdb, hooks, crons. Nothing of them is left when `run` returns.
package struct ProcessRunner: Sendable {
    private let time: any TimeSource
    private let freeze: FreezeController?

    package init(time: any TimeSource = SystemTime()) { self.init(time: time, freeze: nil) }

    /// - Parameter freeze: whose frozen set the programs belong to: none is started while that stands still.
    init(time: any TimeSource, freeze: FreezeController?) {
        self.time = time
        self.freeze = freeze
    }

    /// Starts a program and waits for it on the calling thread.
    ///
    /// - Parameters:
    ///   - started: called once it runs, with its handle.
    /// - Throws: if it cannot be started. A program that fails is not an error: look at the outcome.
    package func run(
        _ specification: ProcessSpecification, options: ProcessOptions = ProcessOptions(),
        started: ((ProcessHandle) -> Void)? = nil
    ) throws -> ProcessOutcome {
        let input = try Pipe.make()
        defer { input.close() }
        let output = try Pipe.make()
        defer { output.close() }
        let errors = options.mergesErrors ? nil : try Pipe.make()
        defer { errors?.close() }
        let start = {
            try specification.start(
                input: input.reader, output: output.writer, error: errors?.writer ?? output.writer)
        }
        let pid = try freeze?.whileStarting(start) ?? start()
        input.closeReader()
        output.closeWriter()
        errors?.closeWriter()
        let handle = ProcessHandle(pid: pid) ?? ProcessHandle(pid: pid, startTime: 0)
        started?(handle)
        var run = ScopedRun(handle: handle, options: options, time: time)
        return run.complete(input: input, output: output, errors: errors)
    }
}

/// A pipe whose ends are closed once.
private final class Pipe {
    private(set) var reader: Int32
    private(set) var writer: Int32

    private init(_ reader: Int32, _ writer: Int32) {
        self.reader = reader
        self.writer = writer
    }

    static func make() throws -> Pipe {
        var ends: [Int32] = [-1, -1]
        guard holdfast_pipe(&ends) == 0 else { throw SystemFailure.error("make a pipe") }
        return Pipe(ends[0], ends[1])
    }

    func closeReader() {
        if reader >= 0 { Foundation.close(reader) }
        reader = -1
    }

    func closeWriter() {
        if writer >= 0 { Foundation.close(writer) }
        writer = -1
    }

    func close() {
        closeReader()
        closeWriter()
    }
}

/// The loop around one running program.
private struct ScopedRun {
    private enum Phase { case running, terminating, killed }

    private let handle: ProcessHandle
    private let options: ProcessOptions
    private let time: any TimeSource
    private var phase = Phase.running
    private var wasCancelled = false
    private var deadline: Deadline?
    private var pending: ArraySlice<UInt8>
    private var output: BoundedOutput
    private var errors: BoundedOutput

    init(handle: ProcessHandle, options: ProcessOptions, time: any TimeSource) {
        self.handle = handle
        self.options = options
        self.time = time
        deadline = options.timeout.map { Deadline(after: $0, time: time) }
        pending = options.input[...]
        output = BoundedOutput(limit: options.outputLimit, onLine: options.onLine)
        errors = BoundedOutput(limit: options.outputLimit, onLine: options.onLine)
    }

    mutating func complete(input: Pipe, output outputPipe: Pipe, errors errorPipe: Pipe?) -> ProcessOutcome {
        let pidfd = holdfast_pidfd_open(handle.pid)
        defer { if pidfd >= 0 { close(pidfd) } }
        for pipe in [outputPipe.reader, errorPipe?.reader ?? -1, input.writer] where pipe >= 0 {
            _ = fcntl(pipe, F_SETFL, O_NONBLOCK)
        }
        if pending.isEmpty { input.closeWriter() }
        while handle.childStatus(reap: false) == nil {
            // Without a pidfd the end of the process is looked for every 20 ms.
            waitForEvent([pidfd, outputPipe.reader, errorPipe?.reader ?? -1], writer: input.writer, quick: pidfd < 0)
            feed(input)
            if !output.drain(outputPipe.reader) { outputPipe.closeReader() }
            if let errorPipe, !errors.drain(errorPipe.reader) { errorPipe.closeReader() }
            keepTime()
        }
        // Not yet reaped: its number cannot belong to anybody else while what it left behind is ended.
        handle.killSession()
        _ = output.drain(outputPipe.reader)
        if let errorPipe { _ = errors.drain(errorPipe.reader) }
        output.finish()
        errors.finish()
        let status = handle.childStatus(reap: true) ?? .unknown
        return ProcessOutcome(
            status: status, timedOut: phase != .running && !wasCancelled, wasCancelled: wasCancelled,
            output: output.bytes, errors: errors.bytes)
    }

    private mutating func keepTime() {
        if phase == .running, options.isCancelled?() == true {
            wasCancelled = true
            deadline = Deadline(after: .zero, time: time)
        }
        guard let deadline, deadline.hasPassed else { return }
        switch phase {
        case .running:
            handle.signalSession(SIGTERM)
            phase = .terminating
            self.deadline = Deadline(after: options.grace, time: time)
        case .terminating:
            handle.signalSession(SIGKILL)
            phase = .killed
            self.deadline = nil
        case .killed:
            break
        }
    }

    private func waitForEvent(_ readers: [Int32], writer: Int32, quick: Bool) {
        var pollers = readers.filter { $0 >= 0 }.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        if writer >= 0 { pollers.append(pollfd(fd: writer, events: Int16(POLLOUT), revents: 0)) }
        let longest = quick ? 20 : options.isCancelled == nil ? 1000 : 100
        poll(&pollers, nfds_t(pollers.count), Int32(min(deadline?.millisecondsLeft ?? longest, longest)))
    }

    private mutating func feed(_ input: Pipe) {
        guard input.writer >= 0 else { return }
        let count = pending.withUnsafeBytes { SafeWrite.pipe(input.writer, $0) }
        if count > 0 { pending = pending.dropFirst(count) }
        if pending.isEmpty || (count < 0 && errno != EAGAIN && errno != EINTR) { input.closeWriter() }
    }
}

/// Writing to a pipe whose reader may be gone.
enum SafeWrite {
    /// As write(2), without SIGPIPE: the signal is blocked in this thread and taken away if it came.
    static func pipe(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
        var set = sigset_t()
        var before = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &set, &before)
        let count = write(descriptor, bytes.baseAddress, bytes.count)
        let number = errno
        if count < 0 && number == EPIPE {
            var zero = timespec()
            sigtimedwait(&set, nil, &zero)
        }
        pthread_sigmask(SIG_SETMASK, &before, nil)
        errno = number
        return count
    }
}

/// The first and the last bytes of an output that may be endless.
private struct BoundedOutput {
    private let limit: Int
    private let onLine: ((String) -> Void)?
    private var head: [UInt8] = []
    private var tail: [UInt8] = []
    private var omitted = 0
    private var line: [UInt8] = []

    init(limit: Int, onLine: ((String) -> Void)?) {
        self.limit = limit
        self.onLine = onLine
    }

    var bytes: [UInt8] {
        omitted == 0 ? head + tail : head + Array("\n[\(omitted) bytes left out]\n".utf8) + tail
    }

    /// Takes what is there now; false at the end.
    mutating func drain(_ descriptor: Int32) -> Bool {
        guard descriptor >= 0 else { return false }
        var buffer = [UInt8](repeating: 0, count: 65536)
        // Bounded, so that a program which never stops talking cannot keep us from looking at the clock.
        for _ in 0..<64 {
            let count = read(descriptor, &buffer, buffer.count)
            if count == 0 { return false }
            if count < 0 { return errno == EAGAIN || errno == EINTR }
            take(buffer[..<count])
        }
        return true
    }

    mutating func finish() {
        if !line.isEmpty { onLine?(String(decoding: line, as: UTF8.self)) }
        line = []
    }

    private mutating func take(_ bytes: ArraySlice<UInt8>) {
        let room = max(0, limit / 2 - head.count)
        head += bytes.prefix(room)
        tail += bytes.dropFirst(room)
        if tail.count > limit {
            let excess = tail.count - limit / 2
            omitted += excess
            tail.removeFirst(excess)
        }
        guard onLine != nil else { return }
        for byte in bytes {
            if byte == 10 || line.count >= 8192 {
                onLine?(String(decoding: line, as: UTF8.self))
                line.removeAll(keepingCapacity: true)
            }
            if byte != 10 { line.append(byte) }
        }
    }
}
