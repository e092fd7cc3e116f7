import ArgumentParser
import HoldfastCommands
import HoldfastModel
import HoldfastRepository

/// `repository snapshots`
struct SnapshotsVerb: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "snapshots", abstract: "List the snapshots.")

    @OptionGroup var options: RepositoryOptions
    @OptionGroup var reading: ReadingOptions
    @OptionGroup var filter: FilterOptions

    @Option(
        name: [.customShort("g"), .long],
        help: ArgumentHelp("Group by host, paths and tags; several separated by commas.", valueName: "keys"))
    var groupBy = ""

    @Option(help: ArgumentHelp("Only the newest so many of each host and paths.", valueName: "count"))
    var latest: Int?

    @Argument(help: ArgumentHelp("Beginning of an id, or 'latest'; all if none is named.", valueName: "snapshot"))
    var ids: [String] = []

    func run() throws {
        let grouping = try SnapshotGrouping(groupBy)
        try options.reading(reading) { context in
            var records = try filter.records(ids, context)
            if let latest {
                guard latest > 0 else { throw HoldfastError(.invalidInput, "--latest \(latest) is not above 0") }
                let byPaths = try SnapshotGrouping("host,paths").groups(records)
                let kept = Set(byPaths.flatMap { $0.records.suffix(latest).map(\.id) })
                records = records.filter { kept.contains($0.id) }
            }
            let groups = grouping.groups(records)
            if options.json {
                if grouping.isEmpty { return try context.write(json: records.map(SnapshotShape.init)) }
                return try context.write(json: groups.map(GroupShape.init))
            }
            for group in groups {
                if !grouping.isEmpty { context.output.out("snapshots for \(group.key.text):\n") }
                context.output.out(SnapshotTable.text(group.records.map { ($0, []) }, context.surroundings))
                context.output.out("\(Amount.count(group.records.count, "snapshot"))\n")
            }
            if groups.isEmpty { context.output.out("0 snapshots\n") }
        }
    }
}

/// Snapshots as a table for people.
enum SnapshotTable {
    static func text(_ rows: [(SnapshotRecord, [String])], _ surroundings: Surroundings) -> String {
        let times = PlainTime(surroundings)
        let hasReasons = rows.contains { !$0.1.isEmpty }
        let header = ["ID", "Time", "Host", "Tags"] + (hasReasons ? ["Reasons"] : []) + ["Paths"]
        return Columns.text(
            header,
            rows.map { record, reasons in
                let info = record.snapshot.info
                let (tags, paths) = (info.tags.map(PlainText.name), info.paths.map(PlainText.name))
                return [
                    record.shortID, times.text(record.time), PlainText.name(info.hostname), tags.joined(separator: ","),
                ] + (hasReasons ? [PlainText.line(reasons.joined(separator: ", "))] : [])
                    + [paths.joined(separator: ", ")]
            })
    }
}

/// What snapshots are grouped by.
struct SnapshotGrouping {
    struct Key: Hashable {
        var host: String?
        var paths: [String]?
        var tags: [String]?

        var text: String {
            var parts: [String] = []
            if let host { parts.append("host '\(PlainText.line(host))'") }
            if let paths { parts.append("paths \(PlainText.list(paths))") }
            if let tags { parts.append("tags \(PlainText.list(tags))") }
            return parts.joined(separator: ", ")
        }
    }

    struct Group {
        let key: Key
        /// Oldest first.
        let records: [SnapshotRecord]
    }

    private let byHost: Bool
    private let byPaths: Bool
    private let byTags: Bool
    var isEmpty: Bool { !byHost && !byPaths && !byTags }

    init(_ text: String) throws {
        let words = text.split(separator: ",").map(String.init)
        if let wrong = words.first(where: { !["host", "paths", "path", "tags", "tag"].contains($0) }) {
            throw HoldfastError(
                .invalidInput, "snapshots cannot be grouped by '\(wrong)'", hint: "Choose among host, paths and tags")
        }
        byHost = words.contains("host")
        byPaths = words.contains("paths") || words.contains("path")
        byTags = words.contains("tags") || words.contains("tag")
    }

    func groups(_ records: [SnapshotRecord]) -> [Group] {
        var groups: [Key: [SnapshotRecord]] = [:]
        for record in records {
            let info = record.snapshot.info
            let key = Key(
                host: byHost ? info.hostname : nil, paths: byPaths ? info.paths.sorted() : nil,
                tags: byTags ? info.tags.sorted() : nil)
            groups[key, default: []].append(record)
        }
        return groups.map { Group(key: $0.key, records: $0.value) }.sorted { $0.key.text < $1.key.text }
    }
}

struct GroupShape: Encodable {
    struct Key: Encodable {
        let hostname: String
        let paths: [String]?
        let tags: [String]?
    }
    let group_key: Key
    let snapshots: [SnapshotShape]

    init(_ group: SnapshotGrouping.Group) {
        let tags = group.key.tags ?? []
        group_key = Key(hostname: group.key.host ?? "", paths: group.key.paths, tags: tags.isEmpty ? nil : tags)
        snapshots = group.records.map(SnapshotShape.init)
    }
}
