import Foundation
import HoldfastEnvironments
import HoldfastModel
import Testing

struct InstalledTypesTests {
    /// A folder that looks like a machine with these programs.
    private static func machine(_ programs: [String]) throws -> String {
        let root = "/tmp/holdfast-types-\(UInt64.random(in: 0...UInt64.max))"
        for program in programs {
            let path = root + program
            try FileManager.default.createDirectory(
                atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
            try Data().write(to: URL(fileURLWithPath: path))
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
        }
        return root
    }

    @Test func `types are found where Debian's packages put them`() throws {
        let root = try Self.machine([
            "/usr/bin/python3.11", "/usr/bin/python3.11-config", "/usr/local/bin/python3.13", "/usr/bin/node",
            "/usr/bin/npm", "/usr/bin/php8.2", "/usr/lib/postgresql/15/bin/postgres",
            "/usr/lib/postgresql/15/bin/initdb",
            "/usr/lib/postgresql/9/bin/postgres", "/usr/lib/postgresql/x/bin/postgres",
        ])
        defer { try? FileManager.default.removeItem(atPath: root) }
        let types = InstalledTypes(root: root) { program, _ in program.hasSuffix("/node") ? "v18.19.0\n" : nil }
        #expect(types.runtimes() == ["binary", "nodejs:18.19.0", "php:8.2", "python:3.11", "python:3.13"])
        #expect(types.servicesThere() == ["postgresql:15"])
        let python = try types.resolve(TypeReference("python:3.11"))
        #expect(python.programs == ["python": "/usr/bin/python3.11", "python3": "/usr/bin/python3.11"])
        #expect(try types.resolve(TypeReference("python:3")).programs["python"] == "/usr/bin/python3.11")
        #expect(try types.resolve(TypeReference("python:3.13")).directory == "/usr/local/bin")
        #expect(try types.resolve(TypeReference("nodejs:18")).programs["npm"] == "/usr/bin/npm")
        #expect(try types.resolve(TypeReference("postgresql:15")).directory == "/usr/lib/postgresql/15/bin")
        #expect(try types.resolve(TypeReference("binary")).directory == nil)
    }

    @Test(arguments: [
        (
            "python:3.1", "'python:3.1' is not installed; there is binary, python:3.11",
            "Install it as root with 'apt-get install python3.1 python3-pip', or write a version that is there"
        ),
        (
            "nodejs:22", "'nodejs:22' is not installed; there is binary, python:3.11",
            "Install it as root with 'apt-get install nodejs npm', or write a version that is there"
        ),
        (
            "pyton:3.11", "there is no application type 'pyton'; there is binary, python:3.11",
            "Write 'python' if that is meant; there are binary, golang, java, nodejs, php, python, ruby, rust"
        ),
        (
            "postgresql:16", "'postgresql:16' is not installed; there is none installed",
            "Install it as root with 'apt-get install postgresql-16', or write a version that is there"
        ),
    ])
    func `what is missing is said together with what is there and how to get it`(
        type: String, message: String, hint: String
    ) throws {
        let root = try Self.machine(["/usr/bin/python3.11"])
        defer { try? FileManager.default.removeItem(atPath: root) }
        let types = InstalledTypes(root: root) { _, _ in nil }
        let error = holdfastError { try types.resolve(TypeReference(type)) }
        #expect(error?.code == .unsupported)
        #expect(error?.message == message)
        #expect(error?.hint == hint)
    }

    @Test func `servers are found in Debian's folders and, first, where whoever brings his own puts them`() throws {
        let own = InstalledTypes.ownServices
        let root = try Self.machine([
            "/usr/sbin/mariadbd", "/usr/bin/mariadb-install-db", "/usr/bin/redis-server", "/usr/bin/memcached",
            "\(own)/valkey/8.0.2/valkey-server", "\(own)/redis/7.2/redis-server", "\(own)/redis/8.0/unfinished",
            "\(own)/mariadb/11.4/mariadbd", "/usr/bin/influxd",
            "/usr/lib/rabbitmq/lib/rabbitmq_server-3.10.8/sbin/rabbitmq-server",
            "/usr/lib/rabbitmq/lib/rabbitmq_server-3.9.1/sbin/rabbitmqctl",
        ])
        defer { try? FileManager.default.removeItem(atPath: root) }
        let printed = [
            "mariadbd": "mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64",
            "redis-server": "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64",
            "memcached": "memcached 1.6.18", "influxd": "InfluxDB v1.6.7~rc0 (git: unknown unknown)",
        ]
        let types = InstalledTypes(root: root) { program, _ in printed[(program as NSString).lastPathComponent] }
        #expect(
            types.servicesThere() == [
                "influxdb:1.6.7", "mariadb:10.11.19", "memcached:1.6.18", "mysql:10.11.19", "rabbitmq:3.10.8",
                "redis-persistent:7.0.15",
                "redis-persistent:7.2", "redis:7.0.15", "redis:7.2", "valkey-persistent:8.0.2", "valkey:8.0.2",
            ])
        for name in ["mariadb", "mysql"] {
            let found = try types.resolve(TypeReference("\(name):10.11"))
            #expect(found.programs["mariadbd"] == "/usr/sbin/mariadbd")
            #expect(found.programs["mariadb-install-db"] == "/usr/bin/mariadb-install-db")
        }
        #expect(try types.resolve(TypeReference("redis:7")).programs["redis-server"] == "\(own)/redis/7.2/redis-server")
        #expect(try types.resolve(TypeReference("redis:7.0")).programs["redis-server"] == "/usr/bin/redis-server")
        #expect(try types.resolve(TypeReference("valkey:8.0")).directory == "\(own)/valkey/8.0.2")
        #expect(
            try types.resolve(TypeReference("rabbitmq:3")).programs["rabbitmq-server"]
                == "/usr/lib/rabbitmq/lib/rabbitmq_server-3.10.8/sbin/rabbitmq-server")
        #expect(try types.resolve(service: TypeReference("binary")).programs.isEmpty)
    }

    @Test(arguments: [
        (
            "redis:8.0", "'redis:8.0' is not installed; there is none installed",
            "Install it as root with 'apt-get install redis-server', or put a folder with redis-server, or a link to "
                + "one, at /usr/local/lib/holdfast/services/redis/8.0"
        ),
        (
            "valkey:8.0", "'valkey:8.0' is not installed; there is none installed",
            "Get it from its makers, because Debian has no package of it, and put a folder with valkey-server, or a "
                + "link to one, at /usr/local/lib/holdfast/services/valkey/8.0"
        ),
        (
            "memcached:2.0", "'memcached:2.0' is not installed; there is memcached:1.6.18",
            "Write a version that is there, or put a folder with memcached, or a link to one, at "
                + "/usr/local/lib/holdfast/services/memcached/2.0"
        ),
    ])
    func `a server that is missing is said together with the way to bring one`(
        type: String, message: String, hint: String
    ) throws {
        let root = try Self.machine(["/usr/bin/memcached"])
        defer { try? FileManager.default.removeItem(atPath: root) }
        let types = InstalledTypes(root: root) { _, _ in "memcached 1.6.18" }
        let error = holdfastError { try types.resolve(TypeReference(type)) }
        #expect(error?.code == .unsupported)
        #expect(error?.message == message)
        #expect(error?.hint == hint)
    }

    @Test func `a service of an unknown type is refused with its line`() throws {
        let yaml = ConfigurationSamples.app("hooks: {}") + "services:\n  db: {type: \"postgres:15\"}\n"
        let types = InstalledTypes(root: "/nonexistent") { _, _ in nil }
        let error = holdfastError { try EnvironmentConfiguration.parse(yaml, file: "c.yaml").resolveTypes(types) }
        #expect(
            error?.message
                == "c.yaml:6: services.db.type: there is no service type 'postgres'; there is none installed. Write "
                + "'postgresql' if that is meant; there are binary, influxdb, mariadb, memcached, mysql, "
                + "network-storage, postgresql, rabbitmq, redis, redis-persistent, valkey, valkey-persistent")
    }

    @Test func `a network storage needs nothing of the machine, is no server, and takes no relationship`() throws {
        let yaml =
            ConfigurationSamples.app(
                "relationships: {files: \"files:any\"}\nmounts:\n  m: {source: service, service: files}")
            + "services:\n  files: {type: \"network-storage:1.0\"}\n"
        let types = InstalledTypes(root: "/nonexistent") { _, _ in nil }
        let configuration = try EnvironmentConfiguration.parse(yaml, file: "c.yaml")
        #expect(try configuration.resolveTypes(types).services["files"]?.programs == [:])
        #expect(configuration.runningServices.isEmpty)
        #expect(configuration.mountPlacements().map(\.directoryPrefix) == ["mounts/files/service=m"])
        #expect(
            configuration.warnings.map(\.description) == [
                "c.yaml:4: applications.a.relationships.files has no effect: a network storage is reached by mounts"
            ])
    }

    @Test(arguments: [
        "", "python", "Python:3", "python:", ":3", "python:3:4", "python:../x", "binary:", "py thon:3", "-x:1",
    ])
    func `what is no type reference is refused`(text: String) {
        #expect(holdfastError { try TypeReference(text) }?.code == .invalidInput)
    }

    @Test func `PATH begins with links to the programs of the type`() throws {
        let root = try Self.machine(["/usr/bin/python3.11"])
        defer { try? FileManager.default.removeItem(atPath: root) }
        let types = InstalledTypes(root: root) { _, _ in nil }
        let python = try types.resolve(TypeReference("python:3.11"))
        for _ in 0..<2 {
            let path = try types.path(for: python, links: "\(root)/links")
            #expect(path == "\(root)/links/python-3.11:\(InstalledTypes.systemPath)")
        }
        let link = try FileManager.default.destinationOfSymbolicLink(atPath: "\(root)/links/python-3.11/python")
        #expect(link == "/usr/bin/python3.11")
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: "\(root)/links/python-3.11").sorted() == [
                "python", "python3",
            ])
        #expect(
            try types.path(for: types.resolve(TypeReference("binary")), links: "\(root)/l") == InstalledTypes.systemPath
        )
    }
}
