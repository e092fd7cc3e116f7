import ArgumentParser
import HoldfastCommands
import HoldfastModel
import HoldfastRepository

/// A number of snapshots; `unlimited` or -1 for all.
struct KeepCount: ExpressibleByArgument {
    let value: Int

    init?(argument: String) {
        if argument == "unlimited" || argument == "-1" {
            value = .max
        } else if let number = Int(argument), number >= 0 {
            value = number
        } else {
            return nil
        }
    }
}

/// What is kept, in restic's words.
struct KeepOptions: ParsableArguments {
    @Option(name: [.customShort("l"), .long], help: ArgumentHelp("The newest so many.", valueName: "count"))
    var keepLast: KeepCount?
    @Option(name: [.customShort("H"), .long], help: ArgumentHelp("One of each of so many hours.", valueName: "count"))
    var keepHourly: KeepCount?
    @Option(name: [.customShort("d"), .long], help: ArgumentHelp("One of each of so many days.", valueName: "count"))
    var keepDaily: KeepCount?
    @Option(name: [.customShort("w"), .long], help: ArgumentHelp("One of each of so many weeks.", valueName: "count"))
    var keepWeekly: KeepCount?
    @Option(name: [.customShort("m"), .long], help: ArgumentHelp("One of each of so many months.", valueName: "count"))
    var keepMonthly: KeepCount?
    @Option(name: [.customShort("y"), .long], help: ArgumentHelp("One of each of so many years.", valueName: "count"))
    var keepYearly: KeepCount?
    @Option(help: ArgumentHelp("All within this time of the newest, such as '1y5m7d2h'.", valueName: "span"))
    var keepWithin: String?
    @Option(help: ArgumentHelp("One of each hour within this time.", valueName: "span"))
    var keepWithinHourly: String?
    @Option(help: ArgumentHelp("One of each day within this time.", valueName: "span"))
    var keepWithinDaily: String?
    @Option(help: ArgumentHelp("One of each week within this time.", valueName: "span"))
    var keepWithinWeekly: String?
    @Option(help: ArgumentHelp("One of each month within this time.", valueName: "span"))
    var keepWithinMonthly: String?
    @Option(help: ArgumentHelp("One of each year within this time.", valueName: "span"))
    var keepWithinYearly: String?
    @Option(help: ArgumentHelp("All with these tags; several options mean any of them.", valueName: "tag,tag"))
    var keepTag: [String] = []

    func policy() throws -> ForgetPolicy {
        var policy = ForgetPolicy()
        policy.last = keepLast?.value ?? 0
        policy.counts = [
            .hourly: keepHourly, .daily: keepDaily, .weekly: keepWeekly, .monthly: keepMonthly, .yearly: keepYearly,
        ].compactMapValues { $0?.value }
        policy.within = try keepWithin.map { try CalendarSpan($0) }
        policy.periodsWithin = try [
            .hourly: keepWithinHourly, .daily: keepWithinDaily, .weekly: keepWithinWeekly,
            .monthly: keepWithinMonthly, .yearly: keepWithinYearly,
        ].compactMapValues { try $0.map { try CalendarSpan($0) } }
        policy.tags = keepTag.map(TagList.parse)
        return policy
    }
}

/// `repository forget`
struct ForgetVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "forget", abstract: "Remove snapshots, by name or by what is to be kept.",
        discussion: """
            A policy is applied to each group of host and paths by itself, as restic does. The space comes back with \
            'prune', or with --prune. A policy that would keep nothing of a group is refused.
            """)

    @OptionGroup var options: RepositoryOptions
    @OptionGroup var keep: KeepOptions

    @Option(help: ArgumentHelp("Only snapshots of this host; several mean any of them.", valueName: "name"))
    var host: [String] = []
    @Option(help: ArgumentHelp("Only snapshots with all these tags.", valueName: "tag,tag"))
    var tag: [String] = []
    @Option(help: ArgumentHelp("Only snapshots of this path; several mean all of them.", valueName: "path"))
    var path: [String] = []

    @Option(name: [.customShort("g"), .long], help: ArgumentHelp("What makes a group.", valueName: "keys"))
    var groupBy = "host,paths"

    @Flag(
        name: [.customShort("n"), .long],
        help: "Show what would be removed, with --prune also what it would free; change nothing.")
    var dryRun = false

    @Flag(help: "Free the space afterwards.")
    var prune = false

    @OptionGroup var pruning: PruneLimits

    @Argument(help: ArgumentHelp("Beginning of an id; then no policy is used.", valueName: "snapshot"))
    var ids: [String] = []

    private struct Reason: Encodable {
        let snapshot: SnapshotShape
        let matches: [String]
    }

    private struct Group: Encodable {
        let tags: [String]?
        let host: String
        let paths: [String]?
        let keep: [SnapshotShape]
        let remove: [SnapshotShape]
        let reasons: [Reason]
    }

    func run() throws {
        let policy = try keep.policy()
        let grouping = try SnapshotGrouping(groupBy)
        let limits = try pruning.limits()
        guard ids.isEmpty || policy.isEmpty else {
            throw HoldfastError(.invalidInput, "snapshots are named, and a policy is given", hint: "Give one of them")
        }
        let context = try options.open()
        let work: (LockKeeper?) throws -> [SnapshotRecord] = { lock in
            let removed = try ids.isEmpty ? byPolicy(policy, grouping, context) : byName(context)
            for record in removed where !dryRun {
                try lock?.requireHeld()
                try context.repository.forget(record.id)
            }
            let verb = dryRun ? "would remove" : "removed"
            context.say("\(verb) \(Amount.count(removed.count, "snapshot"))")
            return removed
        }
        let removed = dryRun ? try work(nil) : try context.repository.whileAlone { try work($0) }
        guard prune else { return }
        // Without a dry run they are gone, and the plan is made of what is there.
        let forgotten = Set(dryRun ? removed.map(\.id) : [])
        try PruneVerb.run(limits, dryRun: dryRun, without: forgotten, context)
    }

    private func byName(_ context: VerbContext) throws -> [SnapshotRecord] {
        var records: [SnapshotRecord] = []
        for id in ids {
            let record = try context.repository.record(id)
            if !records.contains(where: { $0.id == record.id }) { records.append(record) }
        }
        if options.json { try context.write(json: ["removed": records.map { "\($0.id)" }]) }
        return records
    }

    private func byPolicy(
        _ policy: ForgetPolicy, _ grouping: SnapshotGrouping, _ context: VerbContext
    ) throws -> [SnapshotRecord] {
        let filter = SnapshotFilter(
            hosts: host, tags: tag.map(TagList.parse), paths: path.map(context.surroundings.absolute))
        let now = Timestamp(context.surroundings.time.now())
        var removed: [SnapshotRecord] = []
        var shapes: [Group] = []
        if policy.isEmpty { context.say("no policy is given, so no snapshot is removed") }
        for group in grouping.groups(try context.repository.records(filter)) {
            let decisions = policy.decide(group.records, now: now)
            let kept = decisions.filter(\.isKept)
            let gone = decisions.filter { !$0.isKept }
            guard !kept.isEmpty else {
                throw HoldfastError(
                    .conflict, "the policy keeps no snapshot of \(group.key.text.isEmpty ? "all" : group.key.text)",
                    hint: "Name the snapshots to remove them all")
            }
            removed += gone.map(\.record)
            shapes.append(
                Group(
                    tags: group.key.tags.flatMap { $0.isEmpty ? nil : $0 }, host: group.key.host ?? "",
                    paths: group.key.paths, keep: kept.map { SnapshotShape($0.record) },
                    remove: gone.map { SnapshotShape($0.record) },
                    reasons: kept.map { Reason(snapshot: SnapshotShape($0.record), matches: $0.reasons) }))
            guard !options.json, !options.quiet, !policy.isEmpty else { continue }
            if !grouping.isEmpty { context.say("snapshots for \(group.key.text):") }
            context.say("keep \(kept.count):")
            context.output.out(SnapshotTable.text(kept.map { ($0.record, $0.reasons) }, context.surroundings))
            guard !gone.isEmpty else { continue }
            context.say("remove \(gone.count):")
            context.output.out(SnapshotTable.text(gone.map { ($0.record, []) }, context.surroundings))
        }
        if options.json { try context.write(json: shapes) }
        return removed
    }
}
