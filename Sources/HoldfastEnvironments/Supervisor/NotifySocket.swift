import CHoldfastSystem
import Foundation
import HoldfastControl
import HoldfastModel

/// Where one worker says that it stands still: a Unix datagram socket that is always read, so that no worker ever
/// waits for it.
final class NotifySocket: Sendable {
    private let descriptor: Int32

    /// - Parameter received: called for each datagram, from the socket's own thread.
    init(path: String, user: ProcessUser, received: @escaping @Sendable (String) -> Void) throws {
        unlink(path)
        let socket = holdfast_unix_bind(path, 1, 0o600)
        guard socket >= 0 else { throw SystemFailure.error("make the socket '\(path)'", -socket) }
        do {
            try user.own(path)
        } catch {
            Foundation.close(socket)
            throw error
        }
        descriptor = socket
        startThread("notify") {
            var buffer = [UInt8](repeating: 0, count: 4096)
            while true {
                let count = recv(socket, &buffer, buffer.count, 0)
                if count < 0 && errno == EINTR { continue }
                // Shut down by `close`. A datagram without bytes is nothing too, but then there are more to come.
                if count < 0 || (count == 0 && Self.isShutDown(socket)) { break }
                received(String(decoding: buffer[..<count], as: UTF8.self))
            }
            Foundation.close(socket)
        }
    }

    func close() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    private static func isShutDown(_ socket: Int32) -> Bool {
        var poller = pollfd(fd: socket, events: 0, revents: 0)
        return poll(&poller, 1, 0) > 0 && Int32(poller.revents) & Int32(POLLHUP) != 0
    }
}
