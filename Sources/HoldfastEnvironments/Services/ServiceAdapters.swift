import HoldfastModel

/// The adapters that this build has, by the type names of the configuration.
package enum ServiceAdapters {
    private static let all: [any ServiceAdapter.Type] = [
        BinaryAdapter.self, InfluxDBAdapter.self, MariaDBAdapter.self, MemcachedAdapter.self, PostgreSQLAdapter.self,
        RabbitMQAdapter.self, RedisAdapter.self,
    ]

    /// Type names that can be used in a configuration, sorted.
    package static var typeNames: [String] { all.flatMap { $0.typeNames }.sorted() }

    /// - Throws: `unsupported` for a type that no adapter serves, naming those that there are.
    package static func adapter(for type: TypeReference) throws -> any ServiceAdapter {
        guard let adapter = all.first(where: { $0.typeNames.contains(type.name) }) else {
            throw HoldfastError(
                .unsupported, "no adapter for services of type '\(type.name)'",
                hint: "Use one of: \(typeNames.joined(separator: ", "))")
        }
        return adapter.init()
    }
}
