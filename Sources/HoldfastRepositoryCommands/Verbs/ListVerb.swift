import ArgumentParser
import HoldfastCommands
import HoldfastModel
import HoldfastRepository

/// `repository ls`
struct ListVerb: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List what is in a snapshot.",
        discussion: "With directories, only these and what lies directly in them, unless --recursive is given.")

    @OptionGroup var options: RepositoryOptions
    @OptionGroup var reading: ReadingOptions
    @OptionGroup var filter: FilterOptions

    @Flag(name: .shortAndLong, help: "Show mode, owner, size and time.")
    var long = false

    @Flag(help: "Go into the directories that are named.")
    var recursive = false

    @Argument(help: ArgumentHelp("Beginning of an id, or 'latest'.", valueName: "snapshot"))
    var snapshot: String

    @Argument(help: ArgumentHelp("Directories of the snapshot; beginning with '/'.", valueName: "directory"))
    var directories: [String] = []

    func run() throws {
        for directory in directories where !directory.hasPrefix("/") {
            throw HoldfastError(.invalidInput, "'\(directory)' does not begin with '/'", hint: "Give absolute paths")
        }
        let wanted = directories.map { $0.split(separator: "/").map(String.init) }
        try options.reading(reading) { context in
            let source = try SnapshotPath(snapshot, filter.filter(context.surroundings), context.repository)
            if options.json {
                var shape = SnapshotShape(source.record)
                shape.struct_type = "snapshot"
                try context.write(json: shape)
            } else {
                let paths = PlainText.list(source.record.snapshot.info.paths)
                context.say("snapshot \(source.record.shortID) of \(paths):")
            }
            let times = PlainTime(context.surroundings)
            try context.repository.browse(source.record.id, path: source.path) { entry in
                let names = entry.path.split(separator: "/").map(String.init)
                let place = Place(names, wanted, recursive: recursive)
                if place.isShown {
                    if options.json {
                        try context.write(json: NodeShape(entry))
                    } else {
                        context.output.out((long ? times.line(entry) : PlainText.name(entry.path)) + "\n")
                    }
                }
                return place.isEntered ? .enter : .skip
            }
        }
    }

    /// Where an entry lies with respect to the directories that were asked for.
    private struct Place {
        let isShown: Bool
        let isEntered: Bool

        init(_ names: [String], _ wanted: [[String]], recursive: Bool) {
            guard !wanted.isEmpty else {
                (isShown, isEntered) = (true, true)
                return
            }
            isShown = wanted.contains { directory in
                names == directory
                    || (names.starts(with: directory) && (recursive || names.count == directory.count + 1))
            }
            isEntered = wanted.contains { directory in
                directory.starts(with: names) || (recursive && names.starts(with: directory))
            }
        }
    }
}
