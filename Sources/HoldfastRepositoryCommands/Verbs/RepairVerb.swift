import ArgumentParser
import HoldfastCommands
import HoldfastModel
import HoldfastRepository

/// `repository repair`
struct RepairVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "repair", abstract: "Make a new index from the packs, and save what is whole in damaged ones.",
        discussion: """
            What no pack has whole stays lost: a check names the files, and a backup of the same files brings it back. \
            Nothing is written before the plan is shown; --dry-run ends there.
            """)

    @OptionGroup var options: RepositoryOptions

    @Flag(inversion: .prefixedNo, help: "Verify every pack, not only those that the index does not fit.")
    var readData = true

    @Flag(name: [.customShort("n"), .long], help: "Show what would be done, and do nothing.")
    var dryRun = false

    private struct Summary: Encodable {
        var message_type = "summary"
        let packs_whole: Int
        let packs_to_index: Int
        let packs_to_salvage: Int
        let packs_missing: Int
        let packs_unknown: Int
        let index_files_damaged: Int
        let blobs_to_salvage: Int
        let blobs_lost: Int
        let dry_run: Bool
    }

    func run() throws {
        let context = try options.open()
        let meter = ProgressMeter()
        if readData { meter.expect(bytes: try context.store.list(.data).reduce(0) { $0 + Int64($1.size) }) }
        context.store.count(reads: meter)
        let plan = try context.showing("examining", meter) { try context.repository.planRepair(readData: readData) }
        context.store.count()
        context.say(
            "\(Amount.count(plan.packsWhole, "whole pack")), \(plan.packsToIndex) of them not in the index; "
                + "\(plan.packsToSalvage) damaged, \(plan.packsMissing) missing, \(plan.packsUnknown) unreadable")
        context.say(
            "\(plan.indexFilesDamaged) index files damaged; \(Amount.count(plan.blobsToSalvage, "blob")) to be saved, "
                + "\(plan.blobsLost) lost")
        if plan.isEmpty {
            context.say("nothing to repair")
        } else if !dryRun {
            let writing = ProgressMeter()
            context.store.count(writes: writing)
            try context.showing("repairing", writing) { try plan.execute() }
            context.say("repaired")
        }
        if options.json {
            try context.write(
                json: Summary(
                    packs_whole: plan.packsWhole, packs_to_index: plan.packsToIndex,
                    packs_to_salvage: plan.packsToSalvage, packs_missing: plan.packsMissing,
                    packs_unknown: plan.packsUnknown, index_files_damaged: plan.indexFilesDamaged,
                    blobs_to_salvage: plan.blobsToSalvage, blobs_lost: plan.blobsLost, dry_run: dryRun))
        }
        if plan.blobsLost > 0 { throw VerbEnd(.incomplete) }
    }
}
