import ArgumentParser
import HoldfastCommands
import HoldfastModel
import HoldfastRepository

extension StatisticsMode: ExpressibleByArgument {}

/// `repository stats`
struct StatsVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stats", abstract: "Show how large snapshots are.",
        discussion: """
            restore-size: what a restore writes. files-by-contents: different files, each once. blobs-per-file: \
            chunks, each once for every file. raw-data: what lies in the repository for them.
            """)

    @OptionGroup var options: RepositoryOptions
    @OptionGroup var reading: ReadingOptions
    @OptionGroup var filter: FilterOptions

    @Option(help: "What is counted: restore-size, files-by-contents, blobs-per-file or raw-data.")
    var mode: StatisticsMode = .restoreSize

    @Argument(help: ArgumentHelp("Beginning of an id, or 'latest'; all if none is named.", valueName: "snapshot"))
    var ids: [String] = []

    private struct Shape: Encodable {
        let total_size: UInt64
        let total_uncompressed_size: UInt64?
        let total_file_count: Int
        let total_blob_count: Int?
        let snapshots_count: Int
    }

    func run() throws {
        try options.reading(reading) { context in
            let records = try filter.records(ids, context)
            let found = try context.repository.statistics(of: records.map(\.id), mode)
            if options.json {
                return try context.write(
                    json: Shape(
                        total_size: found.bytes, total_uncompressed_size: mode == .rawData ? found.plainBytes : nil,
                        total_file_count: found.files, total_blob_count: found.blobs == 0 ? nil : found.blobs,
                        snapshots_count: found.snapshots))
            }
            var lines = ["mode:       \(mode.rawValue)", "snapshots:  \(found.snapshots)"]
            if mode != .rawData { lines.append("files:      \(found.files)") }
            if found.blobs > 0 { lines.append("blobs:      \(found.blobs)") }
            lines.append("size:       \(Amount.bytes(Int64(clamping: found.bytes)))")
            if mode == .rawData { lines.append("plain:      \(Amount.bytes(Int64(clamping: found.plainBytes)))") }
            context.output.out(lines.joined(separator: "\n") + "\n")
        }
    }
}
