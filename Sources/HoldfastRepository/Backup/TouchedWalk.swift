import Glibc
import HoldfastModel

/// The second look at a watched tree: goes only to what was touched, and does there what `StageWalk` does everywhere.
struct TouchedWalk {
    private let plan: TouchedPlan
    private let tree: WatchedTree
    private(set) var stage: StageWalk

    init(_ plan: TouchedPlan, _ tree: WatchedTree, stage: StageWalk) {
        self.plan = plan
        self.tree = tree
        self.stage = stage
    }

    /// Brings the tree below `root` to what is in the directory now, in place.
    mutating func run(_ root: CapturedDirectory, owners: inout OwnerNames) throws {
        let place = StageWalk.Place(
            directory: root, descriptor: try Walk.root(stage.source), staging: try stage.makeStaging(), path: "",
            depth: 0)
        try visit(plan.root, place, owners: &owners)
    }

    private mutating func visit(_ number: Int, _ place: StageWalk.Place, owners: inout OwnerNames) throws {
        if let touched = plan.touched[number] {
            try stage.refreshMetadata(of: place, owners: &owners)
            for (name, isReplaced) in touched.names {
                try stage.refresh(name, isReplaced: isReplaced, in: place, owners: &owners)
            }
            if touched.isWhole {
                let names = try directoryNames(place.descriptor, path: place.path)
                for name in Set(names + place.directory.entries.map(\.name)) {
                    try stage.refresh(name, isReplaced: true, in: place, owners: &owners)
                }
            }
        }
        for number in plan.children[number] ?? [] {
            guard let child = tree.directory(number) else { continue }
            let name = child.node.name
            // Something else is there now, and has been looked at as a whole.
            guard case .directory(let found)? = place.directory.entry(name), found === child else { continue }
            let path = Walk.join(place.path, name)
            if let descriptor = place.descriptor.child(name),
                UInt64(try Walk.status(descriptor, path: path).st_ino) == child.node.inode
            {
                try visit(
                    number, place.child(child, descriptor, path: path), owners: &owners)
            } else {
                try stage.refresh(name, isReplaced: true, in: place, owners: &owners)
            }
        }
    }
}
