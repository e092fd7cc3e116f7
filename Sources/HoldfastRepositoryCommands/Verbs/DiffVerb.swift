import ArgumentParser
import HoldfastCommands
import HoldfastModel
import HoldfastRepository

/// `repository diff`
struct DiffVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff", abstract: "Show what differs between two snapshots.",
        discussion: "+ added, - removed, M other content, U other metadata (with --metadata), T other type.")

    @OptionGroup var options: RepositoryOptions
    @OptionGroup var reading: ReadingOptions

    @Flag(help: "Show also where only metadata differ.")
    var metadata = false

    @Argument(help: ArgumentHelp("The older one, or a directory of it: 'snapshot:path'.", valueName: "snapshot"))
    var first: String

    @Argument(help: ArgumentHelp("The newer one.", valueName: "snapshot"))
    var second: String

    private struct Change: Encodable {
        var message_type = "change"
        let path: String
        let modifier: String
    }

    private struct Side: Encodable {
        let files: Int
        let dirs: Int
        let others: Int
        let data_blobs: Int
        let tree_blobs: Int
        let bytes: Int

        init(_ side: DifferenceSide) {
            files = side.files
            dirs = side.directories
            others = side.others
            data_blobs = side.dataBlobs
            tree_blobs = side.treeBlobs
            bytes = side.bytes
        }
    }

    private struct Summary: Encodable {
        var message_type = "statistics"
        let source_snapshot: String
        let target_snapshot: String
        let changed_files: Int
        let added: Side
        let removed: Side
    }

    func run() throws {
        try options.reading(reading) { context in
            let left = try SnapshotPath(first, SnapshotFilter(), context.repository)
            let right = try SnapshotPath(second, SnapshotFilter(), context.repository)
            let summary = try context.repository.difference(left.treePath, right.treePath, metadata: metadata) {
                change in
                if options.json {
                    try context.write(json: Change(path: change.path, modifier: change.modifier))
                } else {
                    let padding = String(repeating: " ", count: max(1, 5 - change.modifier.count))
                    context.output.out(change.modifier + padding + PlainText.name(change.path) + "\n")
                }
            }
            if options.json {
                return try context.write(
                    json: Summary(
                        source_snapshot: "\(left.record.id)", target_snapshot: "\(right.record.id)",
                        changed_files: summary.changedFiles, added: Side(summary.added), removed: Side(summary.removed))
                )
            }
            let (added, removed) = (summary.added, summary.removed)
            context.say("")
            context.say("files:  \(added.files) new, \(removed.files) removed, \(summary.changedFiles) changed")
            context.say("dirs:   \(added.directories) new, \(removed.directories) removed")
            context.say("others: \(added.others) new, \(removed.others) removed")
            context.say("added:   \(Amount.bytes(Int64(added.bytes))) in \(added.dataBlobs + added.treeBlobs) blobs")
            context.say(
                "removed: \(Amount.bytes(Int64(removed.bytes))) in \(removed.dataBlobs + removed.treeBlobs) blobs")
        }
    }
}
