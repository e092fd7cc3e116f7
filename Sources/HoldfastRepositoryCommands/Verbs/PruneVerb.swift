import ArgumentParser
import HoldfastCommands
import HoldfastModel
import HoldfastRepository

/// How much a prune may leave, and may rewrite.
struct PruneLimits: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "How much may stay unused: '5%', a size such as '2G', or 'unlimited'.", valueName: "limit"))
    var maxUnused = "5%"

    @Option(help: ArgumentHelp("Rewrite packs of at most this size in all.", valueName: "size"))
    var maxRepackSize: String?

    @Flag(help: "Rewrite only packs of trees.")
    var repackCacheableOnly = false

    @Flag(help: "Rewrite packs that are much smaller than they should be.")
    var repackSmall = false

    func limits() throws -> PruneOptions {
        var limits = PruneOptions()
        limits.repacksTreesOnly = repackCacheableOnly
        limits.repacksSmall = repackSmall
        if let maxRepackSize {
            guard let size = ByteSize.parse(maxRepackSize) else {
                throw HoldfastError(.invalidInput, "'\(maxRepackSize)' is not a size", hint: "Write it as '500M'")
            }
            limits.maxRepackBytes = Int(size)
        }
        if maxUnused == "unlimited" {
            limits.maxUnusedPercent = 100
        } else if maxUnused.hasSuffix("%"), let percent = Double(maxUnused.dropLast()), (0..<100).contains(percent) {
            limits.maxUnusedPercent = percent
        } else if let size = ByteSize.parse(maxUnused) {
            limits.maxUnusedBytes = size
        } else {
            throw HoldfastError(
                .invalidInput, "'\(maxUnused)' is not a limit", hint: "Write it as '5%', '2G' or 'unlimited'")
        }
        return limits
    }
}

/// `repository prune`
struct PruneVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune", abstract: "Free the space of what no snapshot needs.",
        discussion: "It is planned first, and refused if anything that a snapshot needs is missing.")

    @OptionGroup var options: RepositoryOptions
    @OptionGroup var limits: PruneLimits

    @Flag(name: [.customShort("n"), .long], help: "Show what would be done, and do nothing.")
    var dryRun = false

    private struct Summary: Encodable {
        var message_type = "summary"
        let packs_kept: Int
        let packs_repacked: Int
        let packs_removed: Int
        let packs_unreferenced: Int
        let bytes_before: Int
        let bytes_to_copy: Int
        let bytes_freed: Int
        let bytes_unused: Int
        let dry_run: Bool
    }

    func run() throws {
        let limits = try limits.limits()
        try Self.run(limits, dryRun: dryRun, try options.open())
    }

    /// - Parameter forgotten: what a forget would have removed before, in a dry run.
    static func run(
        _ limits: PruneOptions, dryRun: Bool, without forgotten: Set<SnapshotID> = [], _ context: VerbContext
    ) throws {
        let meter = ProgressMeter()
        context.store.count(writes: meter)
        let plan = try context.repository.planPrune(limits, without: forgotten)
        if !context.options.json {
            let keep = "\(dryRun ? "would keep" : "keep") \(Amount.count(plan.packsKept, "pack"))"
            let removed = plan.packsRemoved + plan.packsUnreferenced
            context.say("\(keep), rewrite \(plan.packsRepacked) (\(bytes(plan.bytesToCopy))), remove \(removed)")
            context.say(
                "this \(dryRun ? "would free" : "frees") \(bytes(plan.bytesFreed)) of \(bytes(plan.bytesBefore))")
            context.say("unused afterwards: \(bytes(plan.bytesUnused))")
        }
        var freed = plan.bytesFreed
        if !dryRun {
            meter.expect(bytes: Int64(plan.bytesToCopy))
            freed = try context.showing("pruning", meter) { try plan.execute() }.bytesFreed
            context.say("freed \(bytes(freed))")
        }
        guard context.options.json else { return }
        try context.write(
            json: Summary(
                packs_kept: plan.packsKept, packs_repacked: plan.packsRepacked, packs_removed: plan.packsRemoved,
                packs_unreferenced: plan.packsUnreferenced, bytes_before: plan.bytesBefore,
                bytes_to_copy: plan.bytesToCopy, bytes_freed: freed, bytes_unused: plan.bytesUnused, dry_run: dryRun))
    }

    private static func bytes(_ count: Int) -> String { Amount.bytes(Int64(max(count, 0))) }
}
