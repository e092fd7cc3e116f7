import Foundation
import HoldfastEnvironments
import HoldfastModel
import Testing

struct RuntimeVariablesTests {
    private static func variables(
        _ yaml: String = ConfigurationSamples.full, set: [String: Secret] = [:]
    ) throws -> RuntimeVariables {
        let configuration = try EnvironmentConfiguration.parse(yaml)
        var deployment = DeploymentRecord(
            id: "d", commit: String(repeating: "c", count: 40), createdAt: Date(timeIntervalSince1970: 0),
            configuration: yaml)
        deployment.variables = set
        let identity = EnvironmentIdentity(
            project: try #require(ProjectID("proj")), environment: try #require(EnvironmentID("env")),
            name: "feature/X_y", type: .development, host: "x.localhost:8080", entropy: Secret("noise"))
        let endpoint = ServiceEndpoint(
            scheme: "pgsql", host: "127.0.0.1", port: 5555, username: "main", password: Secret("p@ss/word"),
            path: "main",
            socketDirectory: "/run/x")
        return RuntimeVariables(
            configuration: configuration, deployment: deployment, identity: identity,
            endpoints: ["db": endpoint, "cache": endpoint, "find": endpoint], applicationPorts: ["other": 7777])
    }

    private static func json(_ text: String?) throws -> [String: ConfigurationValue] {
        let data = try #require(text.flatMap { Data(base64Encoded: $0) })
        return try #require(try JSONDecoder().decode(ConfigurationValue.self, from: data).map)
    }

    @Test func `relationships to services without users, and to named endpoints, are as Upsun has them`() throws {
        let yaml = """
            applications:
              app:
                type: binary
                relationships:
                  {cache: "cache:redis", memory: "memory:memcached", reader: "sql:reader", sql: "sql:mysql"}
                web: {commands: {start: "true"}}
            services:
              cache: {type: "redis:7.0"}
              memory: {type: "memcached:1.6"}
              sql: {type: "mariadb:10.11"}
            """
        var runtime = try Self.variables(yaml)
        var sql = ServiceEndpoint(
            scheme: "mysql", host: "127.0.0.1", port: 3307, username: "user", password: Secret("a"), path: "main")
        sql.named = [
            "mysql": ServiceEndpoint.Access(username: "user", password: Secret("a"), path: "main"),
            "reader": ServiceEndpoint.Access(username: "reader", password: Secret("b"), path: ""),
        ]
        runtime.endpoints = [
            "cache": ServiceEndpoint(
                scheme: "redis", host: "127.0.0.1", port: 6380, username: "", password: Secret("p/w"), path: ""),
            "memory": ServiceEndpoint(
                scheme: "memcached", host: "127.0.0.1", port: 11212, username: "", password: Secret(""), path: ""),
            "sql": sql,
        ]
        var app = try #require(runtime.configuration.applications["app"])
        let variables = try runtime.make(app: app, purpose: .hook, directory: "/apps/1", path: "/bin")
        #expect(variables["CACHE_URL"] == "redis://:p%2Fw@127.0.0.1:6380")
        #expect(variables["CACHE_REL"] == "redis" && variables["CACHE_TYPE"] == "redis:7.0")
        #expect(variables["MEMORY_URL"] == "memcached://127.0.0.1:11212")
        #expect(variables["SQL_URL"] == "mysql://user:a@127.0.0.1:3307/main")
        #expect(variables["READER_URL"] == "mysql://reader:b@127.0.0.1:3307")
        let relationships = try Self.json(variables["PLATFORM_RELATIONSHIPS"])
        let cache = relationships["cache"]?.list?.first
        #expect(cache?["username"] == .null && cache?["path"] == .null && cache?["password"] == .string("p/w"))
        #expect(relationships["memory"]?.list?.first?["password"] == .null)
        #expect(relationships["sql"]?.list?.first?["query"] == .map(["is_master": .bool(true)]))

        app.relationships["sql"]?.endpoint = "writer"
        let error = #expect(throws: HoldfastError.self) {
            try runtime.make(app: app, purpose: .hook, directory: "/apps/1", path: "/bin")
        }
        #expect(error?.code == .notFound)
        #expect(error?.hint == "Use one of: mysql, reader")
    }

    @Test func `an app gets all variables of the contract`() throws {
        let runtime = try Self.variables()
        let app = try #require(runtime.configuration.applications["ledger"])
        let variables = try runtime.make(app: app, purpose: .web(.port(9000)), directory: "/apps/1", path: "/bin")
        #expect(variables["PORT"] == "9000")
        #expect(variables["SOCKET"] == nil)
        #expect(variables["PLATFORM_BRANCH"] == "feature/X_y")
        #expect(variables["PLATFORM_ENVIRONMENT"]?.wholeMatch(of: /feature-x-y-[a-z2-7]{7}/) != nil)
        #expect(variables["PLATFORM_ENVIRONMENT_TYPE"] == "development")
        #expect(variables["PLATFORM_PROJECT"] == "proj")
        #expect(variables["PLATFORM_PROJECT_ENTROPY"] == "noise")
        #expect(variables["PLATFORM_TREE_ID"] == String(repeating: "c", count: 40))
        #expect(variables["PLATFORM_APP_DIR"] == "/apps/1")
        #expect(variables["PLATFORM_SOURCE_DIR"] == "/apps/1")
        #expect(variables["PLATFORM_DOCUMENT_ROOT"] == "/apps/1")
        #expect(variables["PLATFORM_APPLICATION_NAME"] == "ledger")
        #expect(variables["PLATFORM_APP_COMMAND"] == "exec python3 -m ledger.web")
        #expect(variables["PLATFORM_PRE_APP_COMMAND"] == "true")
        #expect(variables["PLATFORM_POST_APP_COMMAND"] == "")
        #expect(variables["PLATFORM_VENDOR"] == "upsun")
        #expect(variables["PLATFORM_SMTP_HOST"] == "")
        #expect(variables["HOME"] == "/apps/1")
        #expect(variables["PATH"] == "/bin")
        #expect(variables["TZ"] == "Europe/Berlin")
        #expect(variables["DEBUG"] == "1.10")
        #expect(variables["PLATFORM_OUTPUT_DIR"] == nil)
        let application = try Self.json(variables["PLATFORM_APPLICATION"])
        #expect(application["type"] == .string("python:3.11"))
        let custom = try Self.json(variables["PLATFORM_VARIABLES"])
        #expect(custom == ["php:memory_limit": .string("128M")])
        let routes = try Self.json(variables["PLATFORM_ROUTES"])
        #expect(routes["https://x.localhost:8080/"]?["upstream"] == .string("ledger"))
        #expect(routes["https://www.x.localhost:8080/"]?["to"] == .string("https://x.localhost:8080/"))
        #expect(routes["https://x.localhost:8080/"]?["original_url"] == .string("https://{default}/"))
    }

    @Test func `relationships are there as variables and as JSON, and the URL escapes the password`() throws {
        let runtime = try Self.variables()
        let app = try #require(runtime.configuration.applications["ledger"])
        let variables = try runtime.make(app: app, purpose: .hook, directory: "/a", path: "/bin")
        #expect(variables["DATABASE_HOST"] == "127.0.0.1")
        #expect(variables["DATABASE_PORT"] == "5555")
        #expect(variables["DATABASE_USERNAME"] == "main")
        #expect(variables["DATABASE_PASSWORD"] == "p@ss/word")
        #expect(variables["DATABASE_PATH"] == "main")
        #expect(variables["DATABASE_SCHEME"] == "pgsql")
        #expect(variables["DATABASE_TYPE"] == "postgresql:15")
        #expect(variables["DATABASE_SERVICE"] == "db")
        #expect(variables["DATABASE_REL"] == "postgresql")
        #expect(variables["DATABASE_SOCKET"] == "/run/x")
        #expect(variables["DATABASE_URL"] == "pgsql://main:p%40ss%2Fword@127.0.0.1:5555/main")
        #expect(variables["PORT"] == nil)
        let relationships = try Self.json(variables["PLATFORM_RELATIONSHIPS"])
        #expect(relationships.keys.sorted() == ["cache", "database", "search"])
        let entry = try #require(relationships["database"]?.list?.first)
        #expect(entry["port"] == .integer(5555))
        for key in [
            "username", "scheme", "service", "fragment", "ip", "hostname", "public", "cluster", "host", "rel", "query",
            "path", "password", "type", "port", "host_mapped", "url",
        ] {
            #expect(entry[key] != nil, "\(key)")
        }
    }

    @Test func `a relationship to an app leads to its port, and one to nowhere is an error`() throws {
        let yaml = """
            applications:
              a: {type: binary, relationships: {api: "b:http"}}
              b: {type: binary, web: {commands: {start: x}}}
              c: {type: binary, relationships: {db: }}
            services: {db: {type: "postgresql:15"}}
            """
        var runtime = try Self.variables(yaml)
        runtime.applicationPorts = ["b": 8123]
        runtime.endpoints = [:]
        let app = try #require(runtime.configuration.applications["a"])
        let variables = try runtime.make(app: app, purpose: .worker("w"), directory: "/a", path: "/bin")
        #expect(variables["API_URL"] == "http://127.0.0.1:8123")
        let other = try #require(runtime.configuration.applications["c"])
        #expect(
            holdfastError { try runtime.make(app: other, purpose: .hook, directory: "/a", path: "/bin") }?.code
                == .notFound)
    }

    @Test func `the user's variables win over the file's, a worker's over the app's, and ours over all`() throws {
        let yaml = """
            applications:
              a:
                type: binary
                variables: {env: {ONE: app, TWO: app, THREE: app}, x: {k: 1}}
                workers:
                  w:
                    commands: {start: x}
                    variables: {env: {TWO: worker, THREE: worker}, x: {k: 2}}
            """
        let runtime = try Self.variables(
            yaml,
            set: [
                "env:THREE": Secret("user"), "env:PLATFORM_PROJECT": Secret("evil"), "env:PORT": Secret("1"),
                "env:BAD=NAME": Secret("x"), "plain": Secret("visible"), "env:HOLDFAST_CRON": Secret("evil"),
                "env:HOLDFAST_TOKEN": Secret("of the user"), "env:HOLDFAST_URL": Secret("http://127.0.0.1:7071"),
            ])
        let app = try #require(runtime.configuration.applications["a"])
        let web = try runtime.make(app: app, purpose: .web(.socket("/s")), directory: "/a", path: "/bin")
        #expect([web["ONE"], web["TWO"], web["THREE"]] == ["app", "app", "user"])
        #expect(web["PLATFORM_PROJECT"] == "proj")
        #expect(web["PORT"] == nil)
        #expect(web["SOCKET"] == "/s")
        #expect(!web.keys.contains { $0.contains("=") })
        let worker = try runtime.make(app: app, purpose: .worker("w"), directory: "/a", path: "/bin")
        #expect([worker["ONE"], worker["TWO"], worker["THREE"]] == ["app", "worker", "user"])
        #expect(worker["SOCKET"] == nil)
        let cron = try runtime.make(app: app, purpose: .cron("nightly"), directory: "/a", path: "/bin")
        #expect(cron["HOLDFAST_CRON"] == "nightly" && worker["HOLDFAST_CRON"] == nil)
        // With these the command line can be used in the environment.
        #expect(cron["HOLDFAST_TOKEN"] == "of the user" && cron["HOLDFAST_URL"] == "http://127.0.0.1:7071")
        let custom = try Self.json(worker["PLATFORM_VARIABLES"])
        #expect(custom == ["x:k": .integer(2), "plain": .string("visible")])
    }

    @Test func `a build knows its folders and nothing of services and routes`() throws {
        let runtime = try Self.variables()
        let app = try #require(runtime.configuration.applications["ledger"])
        let variables = try runtime.makeForBuild(app: app, directory: "/o", cache: "/c", path: "/bin")
        #expect(variables["PLATFORM_OUTPUT_DIR"] == "/o")
        #expect(variables["PLATFORM_CACHE_DIR"] == "/c")
        #expect(variables["PLATFORM_APP_DIR"] == "/o")
        for name in ["PLATFORM_RELATIONSHIPS", "PLATFORM_ROUTES", "PLATFORM_BRANCH", "DATABASE_HOST", "PORT"] {
            #expect(variables[name] == nil, "\(name)")
        }
    }

    @Test func `an identity is kept, follows its branch, and shares the project's entropy`() throws {
        let folder = "/tmp/holdfast-identity-\(UInt64.random(in: 0...UInt64.max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var environment = Environment(
            id: try #require(EnvironmentID("env")), project: try #require(ProjectID("proj")), name: "main",
            type: .production, status: .active, createdAt: Date(timeIntervalSince1970: 0))
        #expect(holdfastError { try EnvironmentIdentity.read(from: folder) }?.code == .notFound)
        let first = try EnvironmentIdentity.prepare(for: environment, in: folder, host: "a.test", repository: folder)
        #expect(try EnvironmentIdentity.read(from: folder) == first)
        environment.type = .staging
        let second = try EnvironmentIdentity.prepare(for: environment, in: folder, repository: folder)
        #expect((second.host, second.type, second.entropy) == ("a.test", .staging, first.entropy))
        #expect(first.entropy.reveal().count == 64)
        try FileManager.default.removeItem(atPath: "\(folder)/identity.json")
        let third = try EnvironmentIdentity.prepare(for: environment, in: folder, repository: folder)
        #expect(third.entropy == first.entropy)
        #expect(third.host == third.machineName + ".localhost")
        try Data("{".utf8).write(to: URL(fileURLWithPath: "\(folder)/identity.json"))
        #expect(holdfastError { try EnvironmentIdentity.read(from: folder) }?.code == .damaged)
    }
}
