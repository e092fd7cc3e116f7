import Foundation
import HoldfastEnvironments
import HoldfastModel
import HoldfastTestSupport
import Testing

struct EnvironmentConfigurationTests {
    @Test func `every part of a full configuration is read`() throws {
        let configuration = try EnvironmentConfiguration.parse(ConfigurationSamples.full)
        let app = try #require(configuration.applications["ledger"])
        #expect(app.type == TypeReference(name: "python", version: "3.11"))
        #expect(app.sourceRoot == "app")
        #expect(app.relationships["database"] == RelationshipConfiguration(service: "db", endpoint: "postgresql"))
        #expect(app.relationships["cache"] == RelationshipConfiguration(service: "cache"))
        #expect(app.relationships["search"] == RelationshipConfiguration(service: "find", endpoint: "http"))
        #expect(app.mounts["files"] == MountConfiguration(source: .storage, sourcePath: "files"))
        #expect(app.mounts["var/cache"] == MountConfiguration(source: .tmp, sourcePath: "var/cache"))
        #expect(
            app.mounts["shared"]
                == MountConfiguration(source: .storage, sourcePath: "uploads/all", service: "other"))
        #expect(app.mounts["local"]?.source == .instance)
        #expect(app.web?.start == "exec python3 -m ledger.web")
        #expect(app.web?.preStart == "true")
        let worker = try #require(app.workers["tally"])
        #expect(worker.quiesce == QuiesceConfiguration(signal: "HUP", resume: "USR2", timeoutSeconds: 7))
        #expect(worker.variables.env == ["ROLE": "tally"])
        #expect(app.hooks == HooksConfiguration(build: "set -e\nmake\n", deploy: "migrate", postDeploy: "warm"))
        #expect(
            app.crons["stamp"]
                == CronConfiguration(
                    name: "stamp", spec: "H/5 * * * *", start: "stamp", stop: "unstamp", shutdownTimeout: 3,
                    timeout: 60))
        #expect(app.variables.env == ["DEBUG": "1.10", "ON": "true", "LIST": "[1,\"two\"]", "EMPTY": ""])
        #expect(app.variables.others == ["php": ["memory_limit": .string("128M")]])
        #expect(app.timezone == "Europe/Berlin")
        #expect(configuration.services["db"]?.configuration["extensions"] == .list([.string("pg_trgm")]))
        #expect(configuration.routes.map(\.pattern) == ["https://{default}/", "https://www.{default}/"])
        #expect(configuration.routes[0].kind == .upstream(app: "ledger"))
        #expect(configuration.routes[1].kind == .redirect(to: "https://{default}/"))
        #expect(configuration.routes[1].url(defaultHost: "x.test:80") == "https://www.x.test:80/")
        #expect(configuration.warnings.isEmpty)
    }

    @Test func `a single app that answers requests gets the default route, and several get none`() throws {
        let one = try EnvironmentConfiguration.parse(ConfigurationSamples.app("web: {commands: {start: x}}"))
        #expect(one.routes.map(\.pattern) == ["https://{default}/"])
        #expect(one.routes.first?.kind == .upstream(app: "a"))
        let silent = try EnvironmentConfiguration.parse(ConfigurationSamples.app("hooks: {}"))
        #expect(silent.routes.isEmpty)
        let two = ConfigurationSamples.app("web: {commands: {start: x}}") + "  b: {type: binary}\n"
        #expect(try EnvironmentConfiguration.parse(two).routes.isEmpty)
    }

    @Test func `all faults are listed at once, in the order of the file, with what stands there and what should`() {
        let yaml = """
            applications:
              ledger:
                type: python
                source: {root: "../.."}
                relationships:
                  database: "dbb:postgresql"
                  list: [a]
                mounts:
                  "../x": {source: storage}
                  "/etc/ledger": {source: storage}
                  "": {source: storage}
                  ok: {source: disk}
                web:
                  commands: {start: [a, b]}
                workers:
                  w: {commands: {}}
                crons:
                  c: {spec: "61 * * * *", commands: {start: x}}
                timezone: Mars/Base
              "../evil": {type: binary}
            services:
              db: {type: 15}
            routes:
              "ftp://{default}/": {type: upstream, upstream: "ledger:http"}
              "https://{default}/": {type: proxy}
            """
        let expected = """
            c.yaml:3: applications.ledger.type: found 'python', expected NAME:VERSION such as python:3.11, or binary
            c.yaml:4: applications.ledger.source.root: found '../..', expected a path that does not leave its \
            folder by '..'
            c.yaml:6: applications.ledger.relationships.database: found 'dbb', expected a service or application \
            of this file: db, ledger
            c.yaml:7: applications.ledger.relationships.list: found a list, expected nothing, SERVICE:ENDPOINT, \
            or a map with 'service'
            c.yaml:9: applications.ledger.mounts.'../x': found the path '../x', expected a path that does not \
            leave its folder by '..'
            c.yaml:10: applications.ledger.mounts.'/etc/ledger': found the path '/etc/ledger', expected a folder \
            inside of the app (for one that is called 'etc' there, leave out the slash)
            c.yaml:11: applications.ledger.mounts.'': found an empty path, expected a folder inside of the app \
            such as /files
            c.yaml:12: applications.ledger.mounts.ok.source: found 'disk', expected storage, instance (local), \
            tmp (temporary) or service
            c.yaml:14: applications.ledger.web.commands.start: found a list, expected a command
            c.yaml:16: applications.ledger.workers.w.commands.start: found nothing, expected a command
            c.yaml:18: applications.ledger.crons.c.spec: found '61' as minute, expected numbers from 0 to 59, \
            ranges, steps, * or H
            c.yaml:19: applications.ledger.timezone: found 'Mars/Base', expected a time zone such as Europe/Berlin
            c.yaml:20: applications.'../evil': found the name '../evil', expected a name of an application out of \
            letters, digits, '-' and '_', at most 63, beginning with one of the first two
            c.yaml:22: services.db.type: found the number 15, expected NAME:VERSION such as postgresql:15
            c.yaml:24: routes.'ftp://{default}/': found 'ftp://{default}/', expected a pattern such as \
            https://{default}/ or https://www.{default}/
            c.yaml:25: routes.'https://{default}/'.type: found 'proxy', expected upstream or redirect
            """
        let message = ConfigurationSamples.refusal(yaml) ?? "accepted"
        #expect(message.components(separatedBy: "\n") == expected.components(separatedBy: "\n"))
    }

    @Test func `an app that wants another socket or protocol than the gateway speaks is refused`() {
        let message = ConfigurationSamples.refusal(
            ConfigurationSamples.app(
                "web:\n  commands: {start: x}\n  upstream: {socket_family: unix, protocol: fastcgi}"))
        #expect(
            message
                == "c.yaml:6: applications.a.web.upstream.socket_family: found 'unix', expected tcp: the gateway "
                + "speaks HTTP to the loopback port that PORT names\n"
                + "c.yaml:6: applications.a.web.upstream.protocol: found 'fastcgi', expected http: the gateway speaks "
                + "HTTP to the loopback port that PORT names")
    }

    @Test func `the sample environment's configuration is read without a warning`() throws {
        let yaml = try String(contentsOfFile: "\(ConfigurationSamples.ledger)/.upsun/config.yaml", encoding: .utf8)
        let configuration = try EnvironmentConfiguration.parse(yaml)
        #expect(configuration.warnings.isEmpty)
        let app = try #require(configuration.applications["ledger"])
        #expect(app.workers["tally"]?.quiesce == QuiesceConfiguration())
        #expect(app.mounts.keys.sorted() == ["cache", "files", "journal"])
        #expect(app.sourceRoot.isEmpty)
        #expect(app.crons["stamp"]?.spec == "* * * * *")
    }

    @Test func `more than twenty faults are counted and not listed`() {
        let crons = (1...30).map { "  c\($0): {spec: x, commands: {start: y}}" }.joined(separator: "\n")
        let lines = (ConfigurationSamples.refusal(ConfigurationSamples.app("crons:\n\(crons)")) ?? "").components(
            separatedBy: "\n")
        #expect(lines.count == 21)
        #expect(lines.last == "c.yaml: and 10 more faults")
    }

    @Test func `unknown keys warn with their line and with what may have been meant`() throws {
        let yaml = """
            applications:
              a:
                type: binary
                mount: {}
                disk: 512
                dependencies: {python3: {x: 1}}
                web:
                  commands: {start: x, stat: y}
                  locations: {"/": {root: public}}
            service: {}
            zzzzzz: 1
            """
        let warnings = try ConfigurationSamples.warnings(yaml)
        #expect(
            warnings == [
                "c.yaml:4: applications.a.mount is not known and has no effect; did you mean 'mounts'?",
                "c.yaml:6: applications.a.dependencies has no effect: install what the build needs in hooks.build",
                "c.yaml:8: applications.a.web.commands.stat is not known and has no effect; did you mean 'start'?",
                "c.yaml:9: applications.a.web.locations is only used for PLATFORM_DOCUMENT_ROOT: every request goes to "
                    + "the app",
                "c.yaml:10: service is not known and has no effect; did you mean 'services'?",
                "c.yaml:11: zzzzzz is not known and has no effect; known here: applications, routes, services",
            ])
        #expect(try EnvironmentConfiguration.parse(yaml).applications["a"]?.web?.documentRoot == "public")
    }

    @Test(arguments: [
        ("", "c.yaml:1: found nothing, expected a map with 'applications'"),
        ("# only a comment\n", "c.yaml:1: found nothing, expected a map with 'applications'"),
        ("just text", "c.yaml:1: found 'just text', expected a map with 'applications'"),
        ("services: {}", "c.yaml:1: applications: found nothing, expected a map of applications by name"),
        (
            "applications:\n  a:\n",
            "c.yaml:2: applications.a: found nothing, expected a map with 'type' such as python:3.11"
        ),
        (
            "applications: {a: {type: binary, source: !include x}}",
            "c.yaml:1: found the tag '!include', expected a value without a tag"
        ),
        (
            "applications: {a: {type: binary}}\nservices: {a: {type: \"postgresql:15\"}}",
            "c.yaml:1: applications.a: found the name of a service, expected a name that no service has"
        ),
        (
            "applications:\n  a: {type: binary}\nroutes:\n"
                + "  \"https://{default}/\": {type: upstream, upstream: \"a:http\"}",
            "c.yaml:4: routes.'https://{default}/'.upstream: found 'a:http', expected an application that has "
                + "web.commands.start; there is none"
        ),
    ])
    func `a file that is no configuration is refused with its line`(yaml: String, expected: String) {
        #expect(ConfigurationSamples.refusal(yaml) == expected)
    }

    @Test(arguments: [
        ("applications:\n  a: {type: binary\n  b: x\n", "c.yaml:3: no valid YAML:"),
        ("applications:\n\ta: 1\n", "c.yaml:2: no valid YAML:"),
        ("a: 1\n---\nb: 2\n", "c.yaml:2: no valid YAML:"),
        ("a: *nothing\n", "c.yaml:1: no valid YAML:"),
        (
            "applications:\n  a: {type: binary}\n  a: {type: binary}\n",
            "c.yaml:2: 'a': this key is given twice in one map"
        ),
        ("a: \"\u{1}\"\n", "c.yaml: no valid YAML:"),
        ("a: x\u{0}y\n", "c.yaml:1: found a NUL byte, expected text"),
    ])
    func `broken YAML is refused with its line`(yaml: String, beginning: String) {
        let message = ConfigurationSamples.refusal(yaml) ?? "accepted"
        #expect(message.hasPrefix(beginning), "\(message)")
        #expect(!message.contains("\n"))
    }

    @Test func `anchors, aliases and merge keys work, the own keys winning`() throws {
        let yaml = """
            applications:
              a: &base
                type: binary
                timezone: UTC
                web: {commands: {start: one}}
              b:
                <<: *base
                web: {commands: {start: two}}
              c:
                <<: [{timezone: Europe/Rome}, *base]
            routes: {}
            """
        let configuration = try EnvironmentConfiguration.parse(yaml)
        #expect(configuration.applications["b"]?.timezone == "UTC")
        #expect(configuration.applications["b"]?.web?.start == "two")
        #expect(configuration.applications["c"]?.timezone == "Europe/Rome")
        #expect(configuration.applications["c"]?.web?.start == "one")
    }

    @Test func `an exponential bomb of aliases is refused, as values and as keys`() {
        var values = "x0: &x0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
        var keys = values
        for level in 1...9 {
            let list = Array(repeating: "*x\(level - 1)", count: 9).joined(separator: ", ")
            values += "x\(level): &x\(level) [\(list)]\n"
            keys += "x\(level): &x\(level) [\(list)]\n"
        }
        keys += "? *x9\n: 1\n"
        #expect(ConfigurationSamples.refusal(values)?.contains("at most 32 levels and 20000 values") == true)
        #expect(
            ConfigurationSamples.refusal(keys)?.contains("aliases together with keys that are not plain text") == true)
        let merged =
            "x0: &x0 {a: 1}\n"
            + (1...40).map { "x\($0): &x\($0) {<<: [*x\($0 - 1), *x\($0 - 1)], k\($0): 1}\n" }.joined()
        #expect(ConfigurationSamples.refusal(merged)?.contains("expected at most") == true)
    }

    @Test func `depth and size are bounded`() {
        let deep = "a: " + String(repeating: "[", count: 40) + String(repeating: "]", count: 40)
        #expect(ConfigurationSamples.refusal(deep)?.hasPrefix("c.yaml:1: found more than 32 levels") == true)
        let abyss = String(repeating: "[", count: 100_000)
        #expect(ConfigurationSamples.refusal(abyss)?.contains("no valid YAML") == true)
        let dashes = String(repeating: "- ", count: 100_000)
        #expect(ConfigurationSamples.refusal(dashes) != nil)
        let huge = "a: " + String(repeating: "x", count: 300_000)
        #expect(ConfigurationSamples.refusal(huge)?.contains("at most 262144 are read") == true)
    }

    @Test func `no cut or changed byte of a good file makes the reader fail in another way than by a refusal`() {
        let bytes = Array(ConfigurationSamples.full.utf8)
        var generator = SeededGenerator(seed: 7)
        for round in 0..<400 {
            var changed = bytes
            for _ in 0...(round % 4) {
                changed[Int.random(in: 0..<changed.count, using: &generator)] = UInt8.random(
                    in: 0...255, using: &generator)
            }
            if round % 3 == 0 { changed = Array(changed.prefix(Int.random(in: 0..<changed.count, using: &generator))) }
            let refusal = ConfigurationSamples.refusal(String(decoding: changed, as: UTF8.self))
            #expect(refusal?.hasPrefix("another error") != true)
            #expect(refusal?.hasPrefix("c.yaml") ?? true)
        }
    }

    @Test(arguments: ["one-two", "ONE_TWO"])
    func `relationships whose variables would be the same are refused`(name: String) {
        let yaml =
            ConfigurationSamples.app("relationships:\n  one_two: db\n  \(name): db")
            + "services: {db: {type: \"postgresql:15\"}}"
        #expect(
            ConfigurationSamples.refusal(yaml)?
                .contains("found the same variables ONE_TWO_… as for 'one_two'") == true)
    }

    @Test func `variables that Holdfast sets itself warn, and names that no shell can hold are refused`() throws {
        let yaml = ConfigurationSamples.app("variables:\n  env: {PORT: 1, PLATFORM_X: 2, GOOD: 3}")
        #expect(try EnvironmentConfiguration.parse(yaml).applications["a"]?.variables.env == ["GOOD": "3"])
        #expect(try ConfigurationSamples.warnings(yaml).count == 2)
        let bad = ConfigurationSamples.app("variables:\n  env: {\"A=B\": 1}")
        #expect(ConfigurationSamples.refusal(bad)?.hasPrefix("c.yaml:5: applications.a.variables.env.'A=B'") == true)
    }
}
