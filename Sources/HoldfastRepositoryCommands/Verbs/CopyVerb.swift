import ArgumentParser
import HoldfastCommands
import HoldfastModel
import HoldfastRepository

/// `repository copy`
struct CopyVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "copy", abstract: "Copy snapshots from another repository into this one.",
        discussion: """
            Every blob is opened, verified, and sealed with this repository's key. Snapshots that are here already are \
            left out; a copy keeps its time, and names its original. Data that another program cut differently is \
            stored a second time.
            """)

    @OptionGroup var options: RepositoryOptions
    @OptionGroup var source: SourceOptions
    @OptionGroup var reading: ReadingOptions
    @OptionGroup var filter: FilterOptions

    @Flag(name: [.customShort("n"), .long], help: "Show what would be copied, and copy nothing.")
    var dryRun = false

    @Argument(help: ArgumentHelp("Beginning of an id, or 'latest'; all if none is named.", valueName: "snapshot"))
    var ids: [String] = []

    private struct Copied: Encodable {
        let source: String
        let copy: String?
    }

    private struct Summary: Encodable {
        var message_type = "summary"
        let copied: [Copied]
        let skipped: [String]
        let blobs: Int
        let bytes_written: Int64
        let dry_run: Bool
    }

    func run() throws {
        let context = try options.open()
        let (_, origin) = try source.open(context.surroundings, mode: reading.noLock ? .withoutLocks : .normal)
        guard origin.id != context.repository.id else {
            throw HoldfastError(
                .invalidInput, "both are the same repository", hint: "Name another one with --from-repo")
        }
        let from = VerbContext(
            surroundings: context.surroundings, options: options, path: "", store: context.store, repository: origin,
            password: context.password)
        let records = try filter.records(ids, from)
        if dryRun {
            let plan = try origin.planCopy(of: records, into: context.repository)
            show(plan.present, context)
            for record in plan.snapshots { context.say("would copy snapshot \(record.shortID)") }
            let copied = plan.snapshots.map { Copied(source: "\($0.id)", copy: nil) }
            return try sum(copied, plan.present, blobs: plan.blobs, bytes: plan.bytes, context)
        }
        let meter = ProgressMeter()
        let report = try context.showing("copying", meter) {
            try origin.copy(of: records, into: context.repository, meter: meter)
        }
        show(report.present, context)
        let copied = report.snapshots.map { record, id in
            context.say("snapshot \(record.shortID) copied as \("\(id)".prefix(8))")
            return Copied(source: "\(record.id)", copy: "\(id)")
        }
        try sum(copied, report.present, blobs: report.blobs, bytes: report.bytesWritten, context)
    }

    private func show(_ present: [SnapshotRecord], _ context: VerbContext) {
        for record in present { context.say("snapshot \(record.shortID) is here already") }
    }

    /// - Parameter bytes: in a dry run those that would be read.
    private func sum(
        _ copied: [Copied], _ present: [SnapshotRecord], blobs: Int, bytes: Int64, _ context: VerbContext
    ) throws {
        context.say(
            "\(Amount.count(copied.count, "snapshot")), \(Amount.count(blobs, "blob")), \(Amount.bytes(bytes))")
        guard options.json else { return }
        try context.write(
            json: Summary(
                copied: copied, skipped: present.map { "\($0.id)" }, blobs: blobs, bytes_written: dryRun ? 0 : bytes,
                dry_run: dryRun))
    }
}
