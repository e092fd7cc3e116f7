import Foundation
import HoldfastModel

/// Reads one entry of `applications`.
struct ApplicationReader {
    let name: String
    let problems: ConfigurationProblems

    private static let known = [
        "type", "source", "relationships", "mounts", "web", "workers", "hooks", "crons", "variables", "timezone",
    ]
    private static let ignored = [
        "container_profile", "size", "disk", "resources", "instance_count", "access", "operations", "build", "name",
    ]
    private static let unsupported = [
        "dependencies": "install what the build needs in hooks.build",
        "firewall": "outgoing traffic is not filtered here",
        "additional_hosts": "the machine's own hosts file counts",
        "runtime": "the runtime's own configuration counts",
        "stack": "use 'type'",
    ]

    func read(_ cursor: ConfigurationCursor) -> ApplicationConfiguration? {
        let expected = "a map with 'type' such as python:3.11"
        if cursor.isNull {
            cursor.fault(expected: expected)
            return nil
        }
        let fields = cursor.fields(
            expected, known: Self.known, ignored: Self.ignored, unsupported: Self.unsupported)
        guard case .map = cursor.node.content else { return nil }
        let types = EnvironmentReader(problems: problems)
        let type = types.readType(fields["type"], of: cursor, expected: "NAME:VERSION such as python:3.11, or binary")
        var app = ApplicationConfiguration(name: name, type: type ?? TypeReference(name: "binary", version: ""))
        app.line = cursor.line
        app.typeLine = fields["type"]?.line ?? cursor.line
        if let source = fields["source"] { app.sourceRoot = readSource(source) }
        if let field = fields["relationships"] { app.relationships = readRelationships(field) }
        if let field = fields["mounts"] { app.mounts = MountReader(problems: problems).read(field) }
        if let field = fields["web"] { app.web = readWeb(field) }
        if let field = fields["workers"] { app.workers = readWorkers(field) }
        if let field = fields["hooks"] { app.hooks = readHooks(field) }
        if let field = fields["crons"] { app.crons = readCrons(field) }
        if let field = fields["variables"] { app.variables = readVariables(field) }
        if let field = fields["timezone"], !field.isNull, let text = field.text("a time zone such as Europe/Berlin") {
            if TimeZone.knownTimeZoneIdentifiers.contains(text) || text == "UTC" {
                app.timezone = text
            } else {
                field.fault(expected: "a time zone such as Europe/Berlin")
            }
        }
        return app
    }

    private func readSource(_ cursor: ConfigurationCursor) -> String {
        let fields = cursor.fields("a map with 'root'", known: ["root"], ignored: ["operations"])
        guard let root = fields["root"], !root.isNull, let text = root.text("a folder of the repository") else {
            return ""
        }
        do {
            return try MountPath.folder(text, allowLeadingSlash: true)
        } catch let refusal as MountPath.Refusal {
            root.fault(expected: refusal.expected)
        } catch {
            root.fault(expected: "a folder of the repository")
        }
        return ""
    }

    private func readRelationships(_ cursor: ConfigurationCursor) -> [String: RelationshipConfiguration] {
        var relationships: [String: RelationshipConfiguration] = [:]
        var prefixes: [String: String] = [:]
        let forms = "nothing, SERVICE:ENDPOINT, or a map with 'service'"
        for (name, cursor) in cursor.entries(expected: "a map of relationships by name") {
            guard cursor.checkName(name, of: "a relationship") else { continue }
            let prefix = name.uppercased().replacingOccurrences(of: "-", with: "_")
            if let other = prefixes.updateValue(name, forKey: prefix) {
                problems.fault(
                    line: cursor.line, path: cursor.path, found: "the same variables \(prefix)_… as for '\(other)'",
                    expected: "names that differ in more than case, '-' and '_'")
            }
            switch cursor.node.content {
            case .null:
                relationships[name] = RelationshipConfiguration(service: name)
            case .string(let text):
                let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
                if parts.count <= 2, parts.allSatisfy(ConfigurationCursor.isName) {
                    relationships[name] = RelationshipConfiguration(
                        service: parts[0], endpoint: parts.count == 2 ? parts[1] : nil)
                } else {
                    cursor.fault(expected: forms)
                }
            case .map:
                let fields = cursor.fields(forms, known: ["service", "endpoint"])
                var relationship = RelationshipConfiguration(service: name)
                if let field = fields["service"], let text = field.text("the name of a service") {
                    relationship.service = text
                }
                if let field = fields["endpoint"], !field.isNull, let text = field.text("the name of an endpoint") {
                    relationship.endpoint = text
                }
                relationships[name] = relationship
            case .bool, .number, .list:
                cursor.fault(expected: forms)
            }
        }
        return relationships
    }

    private func readWeb(_ cursor: ConfigurationCursor) -> WebConfiguration? {
        guard !cursor.isNull else { return nil }
        let fields = cursor.fields("a map with 'commands'", known: ["commands", "upstream", "locations"])
        var web = WebConfiguration()
        if let commands = fields["commands"] {
            let commands = commands.fields("a map with 'start'", known: ["pre_start", "start", "post_start"])
            web.preStart = commands["pre_start"]?.command()
            web.start = commands["start"]?.command()
            web.postStart = commands["post_start"]?.command()
        }
        if let upstream = fields["upstream"] {
            let fields = upstream.fields("a map with 'socket_family'", known: ["socket_family", "protocol"])
            for (field, only) in [(fields["socket_family"], "tcp"), (fields["protocol"], "http")] {
                guard let field, !field.isNull else { continue }
                if case .string(only) = field.node.content { continue }
                field.fault(expected: "\(only): the gateway speaks HTTP to the loopback port that PORT names")
            }
        }
        if let locations = fields["locations"] {
            for (path, location) in locations.entries(expected: "a map of locations by path") where path == "/" {
                guard let root = location.entriesQuietly.first(where: { $0.key == "root" })?.cursor else { continue }
                web.documentRoot = root.isNull ? nil : root.text("a folder of the app")
            }
            problems.warn(
                line: locations.line,
                "\(locations.path) is only used for PLATFORM_DOCUMENT_ROOT: every request goes to the app")
        }
        return web
    }

    private func readWorkers(_ cursor: ConfigurationCursor) -> [String: WorkerConfiguration] {
        var workers: [String: WorkerConfiguration] = [:]
        let separate = "workers run in the app's own folder, with its relationships and mounts"
        for (name, cursor) in cursor.entries(expected: "a map of workers by name") {
            guard cursor.checkName(name, of: "a worker") else { continue }
            let fields = cursor.fields(
                "a map with 'commands'", known: ["commands", "quiesce", "variables"],
                ignored: ["size", "disk", "resources", "container_profile", "access", "instance_count"],
                unsupported: [
                    "mounts": separate, "relationships": separate, "timezone": "the app's time zone counts",
                    "type": "the app's type counts", "firewall": "outgoing traffic is not filtered here",
                ])
            let commands = fields["commands"]?.fields(
                "a map with 'start'", known: ["pre_start", "start", "post_start"])
            guard let start = commands?["start"]?.command() else {
                if commands?["start"].map(\.isNull) ?? true {
                    problems.fault(
                        line: fields["commands"]?.line ?? cursor.line, path: "\(cursor.path).commands.start",
                        found: "nothing", expected: "a command")
                }
                continue
            }
            var worker = WorkerConfiguration(name: name, start: start)
            worker.preStart = commands?["pre_start"]?.command()
            worker.postStart = commands?["post_start"]?.command()
            if let quiesce = fields["quiesce"], !quiesce.isNull { worker.quiesce = readQuiesce(quiesce) }
            if let variables = fields["variables"] { worker.variables = readVariables(variables) }
            workers[name] = worker
        }
        return workers
    }

    private func readQuiesce(_ cursor: ConfigurationCursor) -> QuiesceConfiguration {
        let fields = cursor.fields("a map with 'signal'", known: ["signal", "resume", "timeout"])
        var quiesce = QuiesceConfiguration()
        if let field = fields["signal"], let signal = readSignal(field) { quiesce.signal = signal }
        if let field = fields["resume"], let signal = readSignal(field) { quiesce.resume = signal }
        if let field = fields["timeout"], let seconds = field.integer(in: 1...30, unit: "seconds") {
            quiesce.timeoutSeconds = seconds
        }
        if quiesce.signal == quiesce.resume {
            problems.fault(
                line: cursor.line, path: cursor.path, found: "\(quiesce.signal) as signal and as resume",
                expected: "two different signals")
        }
        return quiesce
    }

    private func readSignal(_ field: ConfigurationCursor) -> String? {
        let expected = "one of the signals " + QuiesceConfiguration.signals.keys.sorted().joined(separator: ", ")
        guard case .string(let text) = field.node.content else {
            field.fault(expected: expected)
            return nil
        }
        let upper = text.uppercased()
        let name = upper.hasPrefix("SIG") ? String(upper.dropFirst(3)) : upper
        if QuiesceConfiguration.signals[name] != nil { return name }
        field.fault(expected: expected)
        return nil
    }

    private func readHooks(_ cursor: ConfigurationCursor) -> HooksConfiguration {
        let fields = cursor.fields(
            "a map with 'build', 'deploy' or 'post_deploy'", known: ["build", "deploy", "post_deploy"])
        return HooksConfiguration(
            build: fields["build"]?.command(), deploy: fields["deploy"]?.command(),
            postDeploy: fields["post_deploy"]?.command())
    }

    private func readCrons(_ cursor: ConfigurationCursor) -> [String: CronConfiguration] {
        var crons: [String: CronConfiguration] = [:]
        for (name, cursor) in cursor.entries(expected: "a map of crons by name") {
            guard cursor.checkName(name, of: "a cron") else { continue }
            let fields = cursor.fields(
                "a map with 'spec' and 'commands'",
                known: ["spec", "commands", "cmd", "shutdown_timeout", "timeout"])
            let spec = readSpec(fields["spec"], cursor)
            let commands = fields["commands"]?.fields("a map with 'start'", known: ["start", "stop"])
            let command = commands?["start"] ?? fields["cmd"]
            guard let command, !command.isNull else {
                problems.fault(
                    line: cursor.line, path: "\(cursor.path).commands.start", found: "nothing", expected: "a command")
                continue
            }
            guard let start = command.command(), let spec else { continue }
            var cron = CronConfiguration(name: name, spec: spec, start: start, stop: commands?["stop"]?.command())
            if let field = fields["shutdown_timeout"], let value = field.integer(in: 0...3600, unit: "seconds") {
                cron.shutdownTimeout = value
            }
            if let field = fields["timeout"], let value = field.integer(in: 1...86400, unit: "seconds") {
                cron.timeout = value
            }
            crons[name] = cron
        }
        return crons
    }

    private func readSpec(_ field: ConfigurationCursor?, _ cron: ConfigurationCursor) -> String? {
        guard let field else {
            problems.fault(
                line: cron.line, path: "\(cron.path).spec", found: "nothing",
                expected: "five fields such as '*/5 * * * *'")
            return nil
        }
        guard let text = field.text("five fields such as '*/5 * * * *'", maximumBytes: 256) else { return nil }
        do {
            _ = try CronSchedule(text)
            return text
        } catch {
            let message = (error as? HoldfastError)?.message ?? "\(error)"
            problems.fault(line: field.line, path: field.path, text: message)
            return nil
        }
    }

    private func readVariables(_ cursor: ConfigurationCursor) -> VariablesConfiguration {
        var variables = VariablesConfiguration()
        for (prefix, cursor) in cursor.entries(expected: "a map of prefixes such as 'env'") {
            guard cursor.checkName(prefix, of: "a prefix") else { continue }
            for (name, cursor) in cursor.entries(expected: "a map of variables by name") {
                if prefix == "env" {
                    guard RuntimeVariables.isEnvironmentName(name) else {
                        problems.fault(
                            line: cursor.line, path: cursor.path, found: ConfigurationProblems.quote(name),
                            expected: "a name out of letters, digits and '_' that does not begin with a digit")
                        continue
                    }
                    if RuntimeVariables.isReserved(name) {
                        problems.warn(line: cursor.line, "\(cursor.path) has no effect: Holdfast sets \(name) itself")
                        continue
                    }
                    if let text = environmentText(cursor) { variables.env[name] = text }
                } else {
                    variables.others[prefix, default: [:]][name] = cursor.value()
                }
            }
        }
        return variables
    }

    /// Numbers stay as they are written: `1.10` must not become 1.1.
    private func environmentText(_ cursor: ConfigurationCursor) -> String? {
        let text: String =
            if case .number(let written) = cursor.node.content { written } else { cursor.value().environmentText }
        guard text.utf8.count <= 100_000, !text.utf8.contains(0) else {
            problems.fault(
                line: cursor.line, path: cursor.path, found: "\(text.utf8.count) bytes",
                expected: "at most 100000 bytes and no NUL character")
            return nil
        }
        return text
    }
}
