import Foundation
import HoldfastModel
import Synchronization

/// `ports.json`: each app and each service of an environment keeps its loopback port.
///
/// A port is given out seconds before its server listens on it. So that no other environment of the machine is given
/// the same one meanwhile, a socket with a name of it stands for each port as long as this registry lives.
package final class PortRegistry: Sendable {
    private struct Registry: Codable {
        var version = 1
        var ports: [String: Int] = [:]
    }

    private let file: String
    private let registry: Mutex<Registry>
    /// Descriptors by port.
    private let claims = Mutex<[Int: Int32]>([:])

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
        // One that somebody else was given while nobody stood for it is replaced when its server is started.
        for port in registry.withLock({ $0.ports.values }) { _ = claim(port) }
    }

    deinit { claims.withLock { for descriptor in $0.values { close(descriptor) } } }

    /// The port of a thing, such as `app:ledger` or `services/db/2`; a free one is chosen and remembered for a new one.
    package func port(for key: String) throws -> Int {
        try registry.withLock { registry in
            if let known = registry.ports[key] { return known }
            let port = try freePort(except: Set(registry.ports.values))
            registry.ports[key] = port
            try save(registry)
            return port
        }
    }

    /// Another port for a thing whose port was taken by somebody else.
    package func replacePort(for key: String) throws -> Int {
        try registry.withLock { registry in
            let old = registry.ports[key]
            let port = try freePort(except: Set(registry.ports.values))
            registry.ports[key] = port
            try save(registry)
            if let old { release([old]) }
            return port
        }
    }

    /// Says that a thing has a port that another one was given before, such as an app that was started aside.
    package func assign(_ port: Int, to key: String) throws {
        try registry.withLock { registry in
            guard registry.ports[key] != port else { return }
            let old = registry.ports[key]
            registry.ports = registry.ports.filter { $0.value != port }
            registry.ports[key] = port
            try save(registry)
            if let old { release([old]) }
        }
    }

    /// Gives back the ports of all things that `isGone` says yes to.
    package func forget(_ isGone: (String) -> Bool) throws {
        try registry.withLock { registry in
            let kept = registry.ports.filter { !isGone($0.key) }
            guard kept.count < registry.ports.count else { return }
            let gone = Set(registry.ports.values).subtracting(kept.values)
            registry.ports = kept
            try save(registry)
            release(gone)
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

    private func freePort(except taken: Set<Int>) throws -> Int {
        // Below the kernel's ephemeral range (from 32768): else an outgoing connection may sit on a port that
        // was given out, just when its app restarts.
        for _ in 0..<200 {
            let candidate = Int.random(in: 20000..<32000)
            guard !taken.contains(candidate), claim(candidate) else { continue }
            if Self.isFree(candidate) { return candidate }
            release([candidate])
        }
        for _ in 0..<20 {
            if let port = Self.bindLoopback(0), !taken.contains(port), claim(port) { return port }
        }
        throw HoldfastError(.unavailable, "no free loopback port", hint: "Look at who listens, with ss -ltn")
    }

    /// Stands for a port; false if another registry of this machine does.
    private func claim(_ port: Int) -> Bool {
        claims.withLock { claims in
            if claims[port] != nil { return true }
            let socket = Foundation.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            guard socket >= 0 else { return false }
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            // A name that begins with a zero is no file, and goes with its socket.
            let name = [0] + Array("holdfast-port-\(port)".utf8)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
            let size = MemoryLayout<sa_family_t>.size + name.count
            let isBound = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(socket, $0, socklen_t(size)) == 0 }
            }
            if isBound { claims[port] = socket } else { close(socket) }
            return isBound
        }
    }

    private func release(_ ports: Set<Int>) {
        claims.withLock { claims in
            for port in ports { if let socket = claims.removeValue(forKey: port) { close(socket) } }
        }
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
