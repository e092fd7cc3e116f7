import Foundation
import HoldfastEnvironments
import HoldfastModel
import HoldfastTestSupport
import Testing

struct ServiceSettingsTests {
    private static func service(_ type: String, _ yaml: String) throws -> ServiceConfiguration {
        let text =
            ConfigurationSamples.app("hooks: {}") + "services:\n  data:\n    type: \"\(type)\"\n"
            + (yaml.isEmpty ? "" : "    configuration: \(yaml)\n")
        return try #require(try EnvironmentConfiguration.parse(text).services["data"])
    }

    @Test func `a MariaDB service has one schema and one endpoint unless its configuration names others`() throws {
        let usual = try MariaDBSettings(try Self.service("mariadb:10.11", ""))
        #expect(usual.schemas == ["main"])
        #expect(usual.endpoints["mysql"]?.username == "user")
        #expect(usual.endpoints["mysql"]?.privileges == ["main": .admin])

        let yaml =
            "{schemas: [main, old_one], endpoints: {app: {default_schema: main, privileges: {main: admin}}, "
            + "reader: {privileges: {main: ro, old_one: rw}}}, properties: {max_allowed_packet: 64, "
            + "default_charset: latin1, default_collation: latin1_swedish_ci}}"
        let named = try MariaDBSettings(try Self.service("mysql:10.11", yaml))
        #expect(named.schemas == ["main", "old_one"])
        #expect(named.endpoints["app"]?.defaultSchema == "main")
        #expect(named.endpoints["reader"]?.privileges == ["main": .readOnly, "old_one": .readWrite])
        #expect(named.maxAllowedPacket == 64 && named.charset == "latin1" && named.collation == "latin1_swedish_ci")
    }

    static let mariaDBFaults: [(String, HoldfastError.Code, String)] = [
        ("{schemas: main}", .invalidInput, "schemas"),
        ("{schemas: [\"a`b\"]}", .invalidInput, "schemas"),
        ("{schemas: [a, a]}", .invalidInput, "schemas"),
        ("{endpoints: {}}", .invalidInput, "endpoints"),
        ("{endpoints: {root: {privileges: {main: ro}}}}", .invalidInput, "endpoints.root"),
        ("{endpoints: {a: {privileges: {other: ro}}}}", .invalidInput, "endpoints.a.privileges.other"),
        ("{endpoints: {a: {privileges: {main: all}}}}", .invalidInput, "endpoints.a.privileges.main"),
        ("{endpoints: {a: {default_schema: main}}}", .invalidInput, "endpoints.a.default_schema"),
        ("{endpoints: {a: {privileges: {main: replication}}}}", .invalidInput, "endpoints.a.privileges.main"),
        ("{endpoints: {a: {port: 3306}}}", .unsupported, "endpoints.a.port"),
        ("{properties: {max_allowed_packet: 1000}}", .invalidInput, "properties.max_allowed_packet"),
        ("{properties: {default_charset: \"x' y\"}}", .invalidInput, "properties.default_charset"),
        ("{properties: {innodb_adaptive_hash_index: 1}}", .unsupported, "properties.innodb_adaptive_hash_index"),
        ("{extensions: [x]}", .unsupported, "extensions"),
    ]

    @Test(arguments: ServiceSettingsTests.mariaDBFaults)
    func `what a MariaDB service cannot be is refused with its key`(
        yaml: String, code: HoldfastError.Code, key: String
    ) throws {
        let service = try Self.service("mariadb:10.11", yaml)
        let error = #expect(throws: HoldfastError.self) { try MariaDBSettings(service) }
        #expect(error?.code == code)
        #expect(error?.message.hasPrefix("'configuration.\(key)' of service 'data'") == true)
        #expect(error?.hint != nil)
    }

    @Test func `Redis evicts keys only where they need not be kept`() throws {
        #expect(try RedisSettings(Self.service("redis:7.0", "")).evictionPolicy == "allkeys-lru")
        #expect(try RedisSettings(Self.service("redis-persistent:7.0", "")).evictionPolicy == "noeviction")
        let own = try RedisSettings(Self.service("redis-persistent:7.0", "{maxmemory_policy: volatile-ttl}"))
        #expect(own.evictionPolicy == "volatile-ttl")
        let wrong = try Self.service("redis:7.0", "{maxmemory_policy: never}")
        #expect(throws: HoldfastError.self) { try RedisSettings(wrong) }
    }

    @Test func `a service of any kind says how it is started and when it is ready`() throws {
        let yaml =
            "{start: \"serve --port $PORT\", ready: {http: /health}, scheme: http, persistent: false, "
            + "exclude: [tmp, run/pid], variables: {LEVEL: 3}}"
        let settings = try BinarySettings(try Self.service("binary", yaml))
        #expect(settings.start == "serve --port $PORT" && settings.scheme == "http" && !settings.isPersistent)
        #expect(settings.ready == .http("/health") && settings.excluded == ["tmp", "run/pid"])
        #expect(settings.variables == ["LEVEL": "3"])
        let least = try BinarySettings(try Self.service("binary", "{start: x}"))
        #expect(least.ready == .connection && least.isPersistent && least.scheme == "tcp" && least.excluded.isEmpty)
    }

    @Test(arguments: [
        ("{}", "start"), ("{start: x, ready: soon}", "ready"), ("{start: x, ready: {http: health}}", "ready"),
        ("{start: x, persistent: maybe}", "persistent"), ("{start: x, exclude: [../other]}", "exclude"),
        ("{start: x, exclude: [/etc]}", "exclude"), ("{start: x, variables: {PORT: 1}}", "variables.PORT"),
        ("{start: x, variables: {HOLDFAST_PASSWORD: p}}", "variables.HOLDFAST_PASSWORD"),
    ])
    func `what a service of any kind cannot be is refused with its key`(yaml: String, key: String) throws {
        let service = try Self.service("binary", yaml)
        let error = #expect(throws: HoldfastError.self) { try BinarySettings(service) }
        #expect(error?.code == .invalidInput)
        #expect(error?.message.hasPrefix("'configuration.\(key)' of service 'data'") == true)
    }

    @Test func `a RabbitMQ service has the usual virtual host, and those that its configuration names`() throws {
        #expect(try RabbitMQSettings(Self.service("rabbitmq:3.10", "")).virtualHosts == ["/"])
        let named = try RabbitMQSettings(Self.service("rabbitmq:3.10", "{vhosts: [orders, mail]}"))
        #expect(named.virtualHosts == ["/", "orders", "mail"])
        for yaml in ["{vhosts: orders}", "{vhosts: [a/b]}", "{vhosts: [a, a]}"] {
            let wrong = try Self.service("rabbitmq:3.10", yaml)
            let error = #expect(throws: HoldfastError.self) { try RabbitMQSettings(wrong) }
            #expect(error?.code == .invalidInput, "\(yaml)")
        }
    }

    /// RabbitMQ starts such a node each minute. It listens on all addresses, and so would the port mapper.
    @Test func `the nodes that RabbitMQ starts beside itself start no port mapper`() throws {
        let folder = try ScratchFolder()
        let instance = ServiceInstance(
            directory: folder("1"), runDirectory: folder.path, port: 1, user: .current,
            configuration: try Self.service("rabbitmq:3.10", ""))
        let port = try freeLoopbackPort()
        func run(_ program: String, _ arguments: [String], _ variables: [String: String]) throws {
            var specification = try RabbitMQAdapter().command(instance)
            (specification.executable, specification.arguments) = (program, arguments)
            specification.environment.merge(variables) { _, new in new }
            let outcome = try ProcessRunner().run(specification, options: ProcessOptions(timeout: .seconds(60)))
            #expect(outcome.isSuccess, "\(outcome.text) \(outcome.errorText)")
        }
        func isMapped(by variables: [String: String]) throws -> Bool {
            let arguments = ["-boot", "no_dot_erlang", "-sname", "beside", "-noinput", "-s", "erlang", "halt"]
            try run("/usr/bin/erl", arguments, variables.merging(["ERL_EPMD_PORT": "\(port)"]) { $1 })
            return (try? LineSocket(.port(port), name: "the port mapper", time: SystemTime())) != nil
        }
        #expect(try !isMapped(by: [:]))
        // Without our flags there is one, so the question was a good one.
        #expect(try isMapped(by: ["ERL_ZFLAGS": "", "ERL_EPMD_ADDRESS": "127.0.0.1"]))
        try run("/usr/bin/epmd", ["-port", "\(port)", "-kill"], [:])
    }

    /// From FIPS 180-4's examples, and RFC 4231's second test.
    @Test func `hashes of secrets are as their standards say`() {
        #expect(
            SecretDigest.hexadecimal(of: Secret("abc"))
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        let code = SecretDigest.signature(of: Array("what do ya want for nothing?".utf8), key: Secret("Jefe"))
        #expect(code.prefix(4) == [0x5b, 0xdc, 0xc1, 0x46] && code.suffix(4) == [0x64, 0xec, 0x38, 0x43])
    }

    @Test func `restored data becomes exactly what its list says`() throws {
        let (instance, data, folder) = try Self.restored(
            ["a": "1", "folder/b": "22"], extra: ["c": "x", "folder/d": "x"])
        defer { withExtendedLifetime(folder) {} }
        symlink("/etc/passwd", data + "/link")
        let list = FileList(files: ["a": 1, "folder/b": 2], directories: ["folder": 0o700, "empty": 0o750])
        try Data(list.encoded()).write(to: URL(fileURLWithPath: data + "/" + FileList.name))
        for _ in 0..<2 {
            try FileList.apply(to: instance)
            let there = try FileManager.default.subpathsOfDirectory(atPath: data).sorted()
            #expect(there == ["a", "empty", "folder", "folder/b"])
        }
    }

    @Test(arguments: ["missing", "short", "list"])
    func `restored data that is not whole is refused`(fault: String) throws {
        let (instance, data, folder) = try Self.restored(["a": "1", "folder/b": "22"], extra: [:])
        defer { withExtendedLifetime(folder) {} }
        if fault != "list" {
            let files: [String: Int64] = fault == "missing" ? ["a": 1, "gone": 1] : ["a": 1, "folder/b": 3]
            let list = FileList(files: files, directories: ["folder": 0o700])
            try Data(list.encoded()).write(to: URL(fileURLWithPath: data + "/" + FileList.name))
        }
        let error = #expect(throws: HoldfastError.self) { try FileList.apply(to: instance) }
        #expect(error?.code == .damaged)
    }

    private static func restored(
        _ files: [String: String], extra: [String: String]
    ) throws -> (ServiceInstance, String, ScratchFolder) {
        let folder = try ScratchFolder()
        let instance = ServiceInstance(
            directory: folder("1"), runDirectory: folder("r"), port: 1, user: .current,
            configuration: ServiceConfiguration(
                name: "data", type: try TypeReference("binary"), configuration: .map([:])))
        for (name, text) in files.merging(extra, uniquingKeysWith: { first, _ in first }) {
            let path = instance.dataDirectory + "/" + name
            try FileManager.default.createDirectory(
                atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
            try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        }
        return (instance, instance.dataDirectory, folder)
    }

    @Test func `a service whose freeze is not ended goes on when its lease ends`() throws {
        let server = try DetachedProcess.spawn(
            ProcessSpecification(
                executable: "/bin/sleep", arguments: ["1000"], environment: [:], directory: "/",
                user: try serverUser()))
        defer { server.killSession() }
        let folder = try ScratchFolder()
        var instance = ServiceInstance(
            directory: folder("1"), runDirectory: folder("r"), port: 1, user: try serverUser(),
            configuration: ServiceConfiguration(
                name: "data", type: try TypeReference("binary"), configuration: .map([:])))
        #expect(throws: HoldfastError.self) { try ServiceFreeze(instance) }
        instance.leader = server
        let freeze = try ServiceFreeze(instance)
        func stands() -> Bool { ProcessTable.entry(server.pid)?.state == "T" }
        #expect(try freeze.whileFrozen(bound: .seconds(20), doing: stands))
        try waitUntil("it goes on") { !stands() }
        let error = #expect(throws: HoldfastError.self) {
            try freeze.whileFrozen(bound: .milliseconds(500)) {
                #expect(stands())
                try waitUntil("the guard lets it go on") { !stands() }
            }
        }
        #expect(error?.code == .timedOut)
        #expect(!stands())
    }

    @Test(.enabled(if: geteuid() == 0))
    func `a process of another user is never frozen`() throws {
        let server = try DetachedProcess.spawn(
            ProcessSpecification(executable: "/bin/sleep", arguments: ["1000"], environment: [:], directory: "/"))
        defer { server.killSession() }
        var instance = ServiceInstance(
            directory: "/nonexistent", runDirectory: "/nonexistent", port: 1, user: try serverUser(),
            configuration: ServiceConfiguration(
                name: "data", type: try TypeReference("binary"), configuration: .map([:])))
        instance.leader = server
        let error = #expect(throws: HoldfastError.self) { try ServiceFreeze(instance) }
        #expect(error?.code == .forbidden)
    }
}
