import Foundation

#if canImport(Glibc)
    import Glibc
#endif

/// Where a command writes to and reads from. Results go to standard output, all else to standard error.
package final class Output: Sendable {
    private let writeOut: @Sendable (String) -> Void
    private let writeError: @Sendable (String) -> Void
    private let read: @Sendable () -> String?
    /// Standard error is a terminal: live lines are possible.
    package let isLive: Bool
    /// Somebody can answer.
    package let canAsk: Bool
    /// Columns of the terminal that standard output is, or what `COLUMNS` says; nil for as wide as needed.
    package let width: Int?

    package init(
        out: @escaping @Sendable (String) -> Void, error: @escaping @Sendable (String) -> Void,
        read: @escaping @Sendable () -> String? = { nil }, isLive: Bool = false, canAsk: Bool = false,
        width: Int? = nil
    ) {
        writeOut = out
        writeError = error
        self.read = read
        self.isLive = isLive
        self.canAsk = canAsk
        self.width = width
    }

    /// Text as it is, newline included, to standard output.
    package func out(_ text: String) { writeOut(text) }

    /// A line to standard error.
    package func error(_ line: String) { writeError(line + "\n") }

    /// Text without a newline to standard error.
    package func errorPart(_ text: String) { writeError(text) }

    package func readLine() -> String? { read() }

    /// That of this process.
    package static let standard = Output(
        out: { write($0, to: STDOUT_FILENO) }, error: { write($0, to: STDERR_FILENO) }, read: { Swift.readLine() },
        isLive: isatty(STDERR_FILENO) == 1, canAsk: isatty(STDIN_FILENO) == 1, width: terminalWidth())

    /// Writes all of it; what nobody reads any more is dropped.
    private static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 {
                bytes = bytes.dropFirst(count)
            } else if errno != EINTR && errno != EAGAIN {
                return
            }
        }
    }

    private static func terminalWidth() -> Int? {
        if let text = ProcessInfo.processInfo.environment["COLUMNS"], let columns = Int(text), columns > 0 {
            return columns
        }
        guard isatty(STDOUT_FILENO) == 1 else { return nil }
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return Int(size.ws_col)
    }
}
