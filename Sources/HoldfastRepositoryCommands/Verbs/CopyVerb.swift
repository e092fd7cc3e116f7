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
        let plan = try origin.planCopy(of: records, into: context.repository)
        for record in plan.present { context.say("snapshot \(record.shortID) is here already") }
        var copied: [Copied] = []
        var written: Int64 = 0
        if dryRun {
            for record in plan.snapshots { context.say("would copy snapshot \(record.shortID)") }
            copied = plan.snapshots.map { Copied(source: "\($0.id)", copy: nil) }
        } else {
            let meter = ProgressMeter()
            let report = try context.showing("copying", meter) {
                try origin.copy(of: records, into: context.repository, meter: meter)
            }
            for (record, id) in report.snapshots {
                context.say("snapshot \(record.shortID) copied as \("\(id)".prefix(8))")
                copied.append(Copied(source: "\(record.id)", copy: "\(id)"))
            }
            written = report.bytesWritten
        }
        context.say(
            "\(Amount.count(copied.count, "snapshot")), \(Amount.count(plan.blobs, "blob")), "
                + Amount.bytes(dryRun ? plan.bytes : written))
        if options.json {
            try context.write(
                json: Summary(
                    copied: copied, skipped: plan.present.map { "\($0.id)" }, blobs: plan.blobs, bytes_written: written,
                    dry_run: dryRun))
        }
    }
}
