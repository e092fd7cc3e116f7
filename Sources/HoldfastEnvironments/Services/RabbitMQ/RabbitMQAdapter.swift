import Foundation
import HoldfastModel

/// RabbitMQ as a service that we run: one node without neighbours and without plugins.
///
/// A service's directory holds `data` (the environment's user's) and `conf` (the control plane's: settings,
/// definitions, and `endpoint.json` with the password). A backup takes the files of the frozen node; what a publisher
/// has a confirmation for is on disk then.
package struct RabbitMQAdapter: FrozenAdapter {
    package static let typeNames = ["rabbitmq"]
    /// In the data directory: users, queues and messages.
    static let folder = "mnesia"
    package let options: FrozenOptions

    package init() { self.init(options: FrozenOptions()) }

    package init(options: FrozenOptions) { self.options = options }

    package var stopSignal: Int32 { SIGTERM }

    package func prepare(_ instance: ServiceInstance) throws {
        _ = try InstalledTypes().resolve(service: instance.type)
        let settings = try RabbitMQSettings(instance.configuration)
        let root = try ServiceDirectories.prepare(instance, socket: "rabbitmq.pid")
        try prepareData(instance, in: root, folder: Self.folder)
        let conf = try GuardedDirectory.make(instance.configurationDirectory, mode: 0o755)
        let password = try ServicePasswords(instance).password(of: RabbitMQSettings.user)
        try conf.write("definitions.json", settings.definitions(password: password), mode: 0o400, owner: instance.user)
        try conf.write("rabbitmq.conf", Array(settings.server(instance).utf8), mode: 0o644)
        try conf.write("enabled_plugins", Array("[].\n".utf8), mode: 0o644)
    }

    package func command(_ instance: ServiceInstance) throws -> ProcessSpecification {
        let type = try InstalledTypes().resolve(service: instance.type)
        guard let server = type.programs["rabbitmq-server"] else {
            throw HoldfastError(.internalFault, "'\(instance.type)' was found without a program")
        }
        // Its real path: the script looks for the rest of the server beside itself.
        var specification = ServiceProcesses.specification(ServiceDirectories.realPath(server), [], instance)
        specification.environment.merge(RabbitMQSettings.variables(instance)) { _, own in own }
        return specification
    }

    package func isReady(_ instance: ServiceInstance) throws -> Bool {
        do {
            return try !serverVersion(instance).isEmpty
        } catch let error as HoldfastError where error.isTemporary {
            return false
        }
    }

    package func afterStart(_ instance: ServiceInstance) throws -> ServiceEndpoint {
        ServiceEndpoint(
            scheme: "amqp", host: "127.0.0.1", port: instance.port, username: RabbitMQSettings.user,
            password: try ServicePasswords(instance).password(of: RabbitMQSettings.user), path: "")
    }

    /// The server says it to whoever greets it, before it asks who that is.
    ///
    /// Source: AMQP 0-9-1, sections 4.2.2 (the greeting), 4.2.3 (frames) and 1.4.2.2 (`connection.start`).
    package func serverVersion(_ instance: ServiceInstance) throws -> String {
        let socket = try LineSocket(.port(instance.port), name: "service '\(instance.name)'", time: options.time)
        defer { socket.close() }
        let deadline = Deadline(after: options.readyTimeout, time: options.time)
        try socket.send(Array("AMQP".utf8) + [0, 0, 9, 1], deadline)
        let head = try socket.block(7, deadline)
        let size = head[3...].reduce(0) { $0 << 8 | Int($1) }
        guard head[0] == 1, size < 65536 else { throw otherServer(instance) }
        let properties = try socket.block(size, deadline)
        guard Self.text("product", in: properties) == "RabbitMQ", let version = Self.text("version", in: properties)
        else { throw otherServer(instance) }
        return version
    }

    /// A long string of a field table: the name behind its length, `S`, four bytes of length, the text.
    private static func text(_ name: String, in table: [UInt8]) -> String? {
        let key = [UInt8(name.utf8.count)] + Array(name.utf8) + [UInt8(ascii: "S")]
        guard let range = table.firstRange(of: key), range.upperBound + 4 <= table.count else { return nil }
        let start = range.upperBound + 4
        let length = table[range.upperBound..<start].reduce(0) { $0 << 8 | Int($1) }
        guard length <= table.count - start else { return nil }
        return String(decoding: table[start..<(start + length)], as: UTF8.self)
    }

    private func otherServer(_ instance: ServiceInstance) -> HoldfastError {
        HoldfastError(
            .conflict, "at the port of service '\(instance.name)' another server answers",
            hint: "Stop it, or redeploy the environment")
    }
}
