import Foundation
import HoldfastModel

/// Makes restored files ready to be started, and proves that what came up has the keys of the mark.
struct RedisRestore {
    private static let markFile = "restore.json"

    let adapter: RedisAdapter
    let instance: ServiceInstance

    private var isPersistent: Bool { RedisAdapter.isPersistent(instance.type) }

    func prepare(_ manifest: ServiceManifest) throws {
        try manifest.check(for: instance, method: isPersistent ? "physical" : "empty")
        let type = try InstalledTypes().resolve(service: instance.type)
        let root = try GuardedDirectory.make(instance.directory, mode: 0o755)
        guard isPersistent else {
            try root.removeAll("data")
            return try EmptyBackup.makeData(instance, in: root)
        }
        let there = type.programs.values.first.flatMap { VersionProbe.run($0, ["--version"]) }
        guard let server = InstalledTypes.version(in: there),
            server.compare(manifest.serverVersion, options: .numeric) != .orderedAscending
        else {
            throw HoldfastError(
                .unsupported,
                "the backup of service '\(instance.name)' is of version \(manifest.serverVersion), "
                    + "and '\(instance.type)' may not read it", hint: "Use a server that is at least as new")
        }
        guard let keys = manifest.mark["keys"] else {
            throw HoldfastError(.damaged, "the backup of service '\(instance.name)' has no mark")
        }
        let data = try root.directory("data")
        for name in try data.names() where name != RedisFiles.logDirectory { try data.removeAll(name) }
        let logs = try data.directory(RedisFiles.logDirectory)
        let text = String(decoding: try logs.read(RedisFiles.manifest, limit: 4096), as: UTF8.self)
        guard text == RedisFiles.manifestText, try logs.status(RedisFiles.base) != nil else {
            throw HoldfastError(
                .damaged, "the backup of service '\(instance.name)' does not hold a point in time and nothing else")
        }
        for name in try logs.names() where ![RedisFiles.base, RedisFiles.manifest].contains(name) {
            try logs.removeAll(name)
        }
        try data.setMode(0o700)
        try logs.setMode(0o700)
        try data.giveAll(to: instance.user)
        let conf = try root.makeDirectory("conf", mode: 0o755)
        try conf.write(Self.markFile, Array(JSONEncoder().encode(["keys": keys])), mode: 0o644)
    }

    func verify() throws -> [String] {
        try adapter.waitUntilReady(
            instance, timeout: adapter.options.recoveryTimeout, time: adapter.options.time)
        guard isPersistent else { return ["begins empty"] }
        let conf = try GuardedDirectory(instance.configurationDirectory)
        guard try conf.status(Self.markFile) != nil else { return ["runs"] }
        let wanted: [String: String]
        do {
            wanted = try JSONDecoder().decode(
                [String: String].self, from: Data(conf.read(Self.markFile, limit: 1 << 20)))
        } catch let error as DecodingError {
            throw HoldfastError(.damaged, "'\(conf.path)/\(Self.markFile)' is damaged", cause: error)
        }
        let session = try adapter.session(instance)
        defer { session.close() }
        let found = RedisKeys.parse(try session.info("keyspace", timeout: adapter.options.commandTimeout))
        let marked = RedisKeys.parse(text: wanted["keys"] ?? "")
        for database in Set(found.keys).union(marked.keys).sorted() {
            let (now, then) = (found[database] ?? RedisKeys(), marked[database] ?? RedisKeys())
            // Keys with a time to live may have ended since.
            guard now.keys <= then.keys, now.keys >= then.keys &- then.expiring else {
                throw HoldfastError(
                    .damaged,
                    "\(database) of service '\(instance.name)' has \(now.keys) keys, and had \(then.keys) "
                        + "at the mark", hint: "Restore another backup")
            }
        }
        try conf.remove(Self.markFile)
        return ["loaded \(found.values.reduce(0) { $0 + $1.keys }) keys, as at the mark"]
    }
}

/// How many keys a database has: the value of a line of `INFO keyspace`.
struct RedisKeys: Equatable {
    var keys = 0
    /// How many of them have a time to live.
    var expiring = 0

    static func parse(_ fields: [String: String]) -> [String: RedisKeys] {
        fields.mapValues { text in
            var result = RedisKeys()
            for part in text.split(separator: ",") {
                let pair = part.split(separator: "=")
                guard pair.count == 2, let number = Int(pair[1]) else { continue }
                if pair[0] == "keys" { result.keys = number }
                if pair[0] == "expires" { result.expiring = number }
            }
            return result
        }
    }

    /// As a mark has it: `db0:keys=3,expires=1,avg_ttl=0;db1:…`.
    static func parse(text: String) -> [String: RedisKeys] {
        var fields: [String: String] = [:]
        for line in text.split(separator: ";") {
            let pair = line.split(separator: ":", maxSplits: 1)
            if pair.count == 2 { fields[String(pair[0])] = String(pair[1]) }
        }
        return parse(fields)
    }
}
