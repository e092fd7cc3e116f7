import Foundation
import HoldfastModel
import Synchronization

/// `ports.json`: each app and each service of an environment keeps its loopback port.
package final class PortRegistry: Sendable {
    private struct Registry: Codable {
        var version = 1
        var ports: [String: Int] = [:]
    }

    private let file: String
    private let registry: Mutex<Registry>

    /// - Throws: `damaged` if the file cannot be read.
    package init(file: String) throws {
        self.file = file
        guard let bytes = try DurableFile.read(file) else {
            registry = Mutex(Registry())
            return
        }
        do {
            registry = Mutex(try JSONDecoder().decode(Registry.self, from: Data(bytes)))
        } catch {
            throw HoldfastError(
                .damaged, "'\(file)' cannot be read", hint: "Delete it: ports are then given out anew", cause: error)
        }
    }

    /// The port of a thing, such as `app:ledger` or `services/db/2`; a free one is chosen and remembered for a new one.
    package func port(for key: String) throws -> Int {
        try registry.withLock { registry in
            if let known = registry.ports[key] { return known }
            let port = try Self.freePort(except: Set(registry.ports.values))
            registry.ports[key] = port
            try save(registry)
            return port
        }
    }

    /// Another port for a thing whose port was taken by somebody else.
    package func replacePort(for key: String) throws -> Int {
        try registry.withLock { registry in
            let port = try Self.freePort(except: Set(registry.ports.values))
            registry.ports[key] = port
            try save(registry)
            return port
        }
    }

    /// Says that a thing has a port that another one was given before, such as an app that was started aside.
    package func assign(_ port: Int, to key: String) throws {
        try registry.withLock { registry in
            guard registry.ports[key] != port else { return }
            registry.ports = registry.ports.filter { $0.value != port }
            registry.ports[key] = port
            try save(registry)
        }
    }

    /// Gives back the ports of all things that `isGone` says yes to.
    package func forget(_ isGone: (String) -> Bool) throws {
        try registry.withLock { registry in
            let kept = registry.ports.filter { !isGone($0.key) }
            guard kept.count < registry.ports.count else { return }
            registry.ports = kept
            try save(registry)
        }
    }

    /// All ports that were given out.
    package var all: [String: Int] { registry.withLock { $0.ports } }

    private func save(_ registry: Registry) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
        try DurableFile.write(Array(try encoder.encode(registry)), to: file)
    }

    /// Whether nobody listens on a loopback port.
    package static func isFree(_ port: Int) -> Bool { bindLoopback(port) != nil }

    private static func freePort(except taken: Set<Int>) throws -> Int {
        // Below the kernel's ephemeral range (from 32768): else an outgoing connection may sit on a port that
        // was given out, just when its app restarts.
        for _ in 0..<200 {
            let candidate = Int.random(in: 20000..<32000)
            if !taken.contains(candidate), let port = bindLoopback(candidate) { return port }
        }
        for _ in 0..<20 {
            if let port = bindLoopback(0), !taken.contains(port) { return port }
        }
        throw HoldfastError(.unavailable, "no free loopback port", hint: "Look at who listens, with ss -ltn")
    }

    /// Binds and lets go again; the port that it was, or nil if it is taken.
    private static func bindLoopback(_ port: Int) -> Int? {
        let socket = Foundation.socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return nil }
        defer { close(socket) }
        var one: Int32 = 1
        setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port)).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(socket, address, size) == 0 && listen(socket, 1) == 0 && getsockname(socket, address, &size) == 0
            }
        }
        return bound ? Int(UInt16(bigEndian: address.sin_port)) : nil
    }
}
