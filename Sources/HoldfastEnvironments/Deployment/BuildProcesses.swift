import Foundation
import HoldfastModel

/// Everything that a build hook has started, to be ended with it, whatever sessions it has made.
///
/// As root in a cgroup of the environment's builds. Else, and besides, by a variable that all of it inherits: what
/// throws its environment away and leaves its session is only found where there are cgroups.
struct BuildProcesses {
    private static let variable = "HOLDFAST_BUILD"

    /// One build of it runs at a time.
    let environment: EnvironmentID

    func add(to specification: inout ProcessSpecification) {
        specification.environment[Self.variable] = environment.rawValue
        if let group { specification.cgroups.append(group) }
    }

    /// Ends all that is left, also of a build whose control plane was killed.
    func end() {
        if let group { CgroupTree.killAll(group) }
        let text = Array("\(Self.variable)=\(environment)".utf8)
        for _ in 0..<20 {
            let left = ProcessTable.all().filter { entry in
                guard !entry.isZombie, entry.pid != getpid(),
                    let variables = try? DurableFile.read("/proc/\(entry.pid)/environ")
                else { return false }
                return variables.split(separator: 0).contains { $0.elementsEqual(text) }
            }
            if left.isEmpty { return }
            for entry in left { entry.handle.signal(SIGKILL) }
            usleep(2000)
        }
    }

    /// Made if it is missing; nil where there are no cgroups.
    private var group: String? { CgroupTree.buildGroup(environment: environment, methods: [.cgroup2, .cgroup1]) }
}
