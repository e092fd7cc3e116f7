import CHoldfastFiles
import Glibc
import HoldfastModel

extension Repository {
    /// Restores what is in a directory of a snapshot into a directory on the disk, with all metadata.
    ///
    /// The directory itself gets the metadata of the stored one. Nothing outside of it is ever touched, whatever the
    /// names in the snapshot are and whatever is put in the way meanwhile: such entries are refused and named. A file
    /// with a damaged piece is not left behind half; it is named in the report. What was there before is replaced only
    /// by something complete.
    ///
    /// - Parameters:
    ///   - source: snapshot and directory in it.
    ///   - directory: is made if missing, and must be empty else.
    /// - Returns: what was done, and what could not be restored.
    /// - Throws: `notFound`, `conflict` if the directory is not empty, `noSpace`, `unavailable`, `locked`. What is
    ///   complete until then stays.
    public func restore(
        _ source: TreePath, to directory: String, options: RestoreOptions = RestoreOptions()
    ) throws -> RestoreReport {
        let lock = try lockForReading()
        defer { lock?.release() }
        let names = try treeComponents(source.path)
        let snapshotTree = try snapshot(source.snapshot).treeID
        // Unreadable index files hide blobs; the files that need them are named then.
        let index = try currentIndex { _, error in
            guard (error as? HoldfastError)?.code == .damaged else { throw error }
        }
        let reader = try reader(index)
        var tree = snapshotTree
        var root = CapturedDirectory.made(name: []).node
        root.modified = Timestamp(time.now())
        root.permissions = 0o700
        for name in names {
            guard let node = try reader.tree(tree).first(where: { $0.name == name }), let subtree = node.subtree else {
                throw HoldfastError(
                    .notFound, "there is no directory '\(source.path)' in snapshot \(source.snapshot)")
            }
            root = node
            tree = subtree
        }
        root.name = []
        let plan = try RestorePlan.build(tree: tree, root: root, reader: reader, index: index, options: options) {
            options.existing == .kept && isOther(directory + "/" + $0)
        }
        let target = try RestoreTarget(path: directory, plan: plan, options: options)
        options.meter?.expect(
            items: plan.files.count, bytes: plan.files.reduce(0) { $0 + Int64(clamping: $1.node.size) })
        let run = RestoreRun(self, index: index, plan: plan, target: target)
        run.meter = options.meter
        try run.run()
        if options.isDurable, holdfast_syncfs(target.root.raw) != 0 { throw systemError("write back", directory) }
        return run.report
    }

    /// Whether something lies there that is no directory.
    private func isOther(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT != S_IFDIR
    }
}
