import Foundation
import HoldfastEnvironments
import HoldfastModel
import Testing

/// A state directory that is gone with the test.
final class ScratchHome {
    let path = "/tmp/hf-home-\(UInt64.random(in: 0...UInt64.max))"
    let layout: EnvironmentLayout

    init() throws {
        layout = EnvironmentLayout(home: path, run: path + "/run", environment: .random())
        try layout.create()
        chmod(path, 0o711)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func state(generation: Int = 1) -> CurrentState {
        var state = CurrentState(
            deployment: DeploymentRecord(
                id: "d\(generation)", commit: String(repeating: "a", count: 40),
                createdAt: Date(timeIntervalSince1970: 1000), configuration: "applications: {}"))
        state.generation = generation
        return state
    }
}

struct LayoutTests {
    @Test func `a state is read back as it was written, and none is nil`() throws {
        let home = try ScratchHome()
        #expect(try home.layout.readCurrent() == nil)
        var state = home.state(generation: 7)
        state.services["db"] = ServiceRecord(type: "postgresql:15", directory: "services/db/2")
        state.deployment.variables["env:KEY"] = Secret("value")
        state.before = [home.state(generation: 6), home.state(generation: 5)]
        try home.layout.writeCurrent(state)
        #expect(try home.layout.readCurrent() == state)
        #expect(try home.layout.readPrevious()?.generation == 6)
        var status = stat()
        #expect(lstat(home.layout.currentFile, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
        let left = try FileManager.default.contentsOfDirectory(atPath: home.layout.directory)
        #expect(!left.contains { $0.hasSuffix(".new") })
    }

    @Test func `a damaged state and one of a later version are errors that say so`() throws {
        let home = try ScratchHome()
        try Data("{".utf8).write(to: URL(fileURLWithPath: home.layout.currentFile))
        #expect(#expect(throws: HoldfastError.self) { try home.layout.readCurrent() }?.code == .damaged)
        var state = home.state()
        state.version = 2
        try home.layout.writeCurrent(state)
        #expect(#expect(throws: HoldfastError.self) { try home.layout.readCurrent() }?.code == .unsupported)
    }

    @Test(arguments: [
        "", "apps", "/etc/passwd", "apps/../../x", "apps//x", "apps/./x", "secrets/x", "apps/a/..", "services/db/\n",
        "apps/a\u{0}b", "log/x",
    ])
    func `a directory that leads out of the environment is refused`(_ path: String) throws {
        let home = try ScratchHome()
        #expect(#expect(throws: HoldfastError.self) { try home.layout.absolute(path) }?.code == .invalidInput)
    }

    @Test func `numbers of directories grow and are not used twice`() throws {
        let home = try ScratchHome()
        #expect(try home.layout.nextDirectory("services/db") == "services/db/1")
        for number in ["1", "3", "x"] { mkdir("\(home.layout.directory)/services/db/\(number)", 0o755) }
        #expect(try home.layout.nextDirectory("services/db") == "services/db/4")
        // Live, though its directory was lost.
        var state = home.state()
        state.services["db"] = ServiceRecord(type: "postgresql:15", directory: "services/db/9")
        var current = home.state()
        current.before = [home.state(), state]
        try home.layout.writeCurrent(current)
        #expect(try home.layout.nextDirectory("services/db") == "services/db/10")
        #expect(try home.layout.nextDirectory("mounts/ledger/files") == "mounts/ledger/files/1")
    }

    @Test func `names cannot lead a log out of its folder`() throws {
        let home = try ScratchHome()
        #expect(home.layout.cronLog("a/../../b", "c") == "\(home.layout.logDirectory)/cron.a_.._.._b.c.log")
        #expect(home.layout.appLog("ledger") == "\(home.layout.logDirectory)/app.ledger.log")
    }

    @Test func `removing the data leaves nothing`() throws {
        let home = try ScratchHome()
        try home.layout.writeCurrent(home.state())
        try home.layout.removeData()
        #expect(access(home.layout.directory, F_OK) != 0)
        #expect(access(home.layout.environmentRunDirectory, F_OK) != 0)
        try home.layout.removeData()
    }

    @Test func `ports stay as they are and differ from each other`() throws {
        let home = try ScratchHome()
        let registry = try PortRegistry(file: home.layout.portsFile)
        let first = try registry.port(for: "app:ledger")
        let second = try registry.port(for: "services/db/1")
        #expect(first != second)
        #expect(PortRegistry.isFree(first))
        #expect(try registry.port(for: "app:ledger") == first)
        #expect(try PortRegistry(file: home.layout.portsFile).port(for: "app:ledger") == first)
        #expect(try home.layout.readPorts() == ["ledger": first])
        let other = try registry.replacePort(for: "app:ledger")
        #expect(other != first)
        try registry.forget { $0.hasPrefix("services/") }
        #expect(try PortRegistry(file: home.layout.portsFile).all == ["app:ledger": other])
    }

    @Test func `no port is given out twice on a machine, also as long as nobody listens on it`() throws {
        let homes = try [ScratchHome(), ScratchHome()]
        // They take their folders with them.
        defer { withExtendedLifetime(homes) {} }
        let registries = try homes.map { try PortRegistry(file: $0.layout.portsFile) }
        // Without a look at each other two environments with so many have one in common in 199 of 200 runs.
        for number in 0..<250 { for registry in registries { _ = try registry.port(for: "app:\(number)") } }
        let ports = registries.flatMap(\.all.values)
        #expect(Set(ports).count == 500 && ports.count == 500)
    }

    @Test func `what the files of states name is never removed, whoever asks, and nothing if they cannot be read`()
        throws
    {
        let home = try ScratchHome()
        let layout = home.layout
        func make(_ prefix: String) throws -> String {
            let directory = try layout.nextDirectory(prefix)
            try FileManager.default.createDirectory(
                atPath: layout.absolute(directory), withIntermediateDirectories: false)
            return directory
        }
        func isThere(_ directory: String) throws -> Bool {
            FileManager.default.fileExists(atPath: try layout.absolute(directory))
        }
        var state = home.state(generation: 2)
        let (live, kept, begun) = try (make("services/db"), make("mounts/app/files"), make("apps/app"))
        state.services["db"] = ServiceRecord(type: "postgresql:15", directory: live)
        var previous = home.state(generation: 1)
        previous.mounts["app"] = ["files": kept]
        state.before = [previous]
        try layout.writeCurrent(state)
        #expect(try layout.readAside() == [live, kept, begun])

        // As when a full disk kept a switch from putting the old state back: what was new is live.
        try Data("{".utf8).write(to: URL(fileURLWithPath: layout.currentFile))
        layout.discardAside()
        #expect(throws: HoldfastError.self) { try layout.removeUnnamed([live, kept, begun]) }
        for directory in [live, kept, begun] { #expect(try isThere(directory), "\(directory)") }

        try layout.writeCurrent(state)
        try layout.removeUnnamed([live, kept])
        layout.discardAside()
        #expect(try isThere(live) && isThere(kept))
        #expect(try !isThere(begun))
        #expect(try layout.readAside() == [])
        #expect(throws: HoldfastError.self) { try layout.removeUnnamed(["../../etc"]) }
    }

    @Test func `the two files of older versions are read, and become one`() throws {
        let home = try ScratchHome()
        let layout = home.layout
        for (file, generation) in [(layout.currentFile, 4), (layout.previousFile, 3)] {
            var state = home.state(generation: generation)
            state.mounts["app"] = ["files": "mounts/app/files/\(generation)"]
            try JSONEncoder().encode(state).write(to: URL(fileURLWithPath: file))
            try FileManager.default.createDirectory(
                atPath: layout.absolute("mounts/app/files/\(generation)"), withIntermediateDirectories: true)
        }
        try layout.note(aside: ["mounts/app/files/3"])
        #expect(try layout.readPrevious()?.generation == 3)
        #expect(try layout.removeAside() == [], "an undo leads to it")
        try layout.settleBefore()
        #expect(access(layout.previousFile, F_OK) != 0)
        #expect(try layout.readCurrent()?.before?.map(\.generation) == [3])
        #expect(try layout.readCurrent()?.generation == 4)
        #expect(access(try layout.absolute("mounts/app/files/3"), F_OK) == 0)
    }

    @Test func `of the states before a settled one only the newest stays, and what the others name is on record`()
        throws
    {
        let home = try ScratchHome()
        func state(_ generation: Int) -> CurrentState {
            var state = home.state(generation: generation)
            state.mounts["app"] = ["files": "mounts/app/files/\(generation)", "shared": "mounts/app/shared/1"]
            return state
        }
        var current = state(9)
        current.before = [state(8), state(7)]
        try home.layout.writeCurrent(current)
        try home.layout.settleBefore()
        #expect(try home.layout.readStates().map(\.generation) == [9, 8])
        #expect(try home.layout.readAside() == ["mounts/app/files/7"])
    }

    @Test func `what a switch leaves behind is on record before it, goes once it is done, and can be taken back`()
        throws
    {
        let home = try ScratchHome()
        let layout = home.layout
        let old = "apps/app/1"
        try FileManager.default.createDirectory(atPath: layout.absolute(old), withIntermediateDirectories: true)
        var state = home.state()
        state.apps = ["app": old]
        try layout.writeCurrent(state)
        try layout.note(aside: [old, old, "apps/app/7"])
        // Still live.
        #expect(try layout.removeAside() == [])
        #expect(access(try layout.absolute(old), F_OK) == 0)
        try layout.note(aside: [old])
        state.apps = ["app": "apps/app/2"]
        try layout.writeCurrent(state)
        layout.forget(aside: [old])
        #expect(try layout.removeAside() == [])
        try layout.note(aside: [old])
        #expect(try layout.removeAside() == [old])
        #expect(access(layout.asideFile, F_OK) != 0)
    }

    @Test func `a tree that is deeper than a path can be is removed with its environment`() throws {
        let home = try ScratchHome()
        let deep = "\(home.layout.directory)/mounts/deep"
        let outcome = try Self.nest(deep)
        #expect(outcome == 0)
        try home.layout.removeData()
        #expect(!FileManager.default.fileExists(atPath: home.layout.directory))
    }

    /// Makes directories below each other until their path is longer than the system takes.
    private static func nest(_ path: String) throws -> Int32 {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        process.arguments = [
            "-c",
            "import os, sys\nos.mkdir(sys.argv[1]); os.chdir(sys.argv[1])\n"
                + "for _ in range(40):\n    os.mkdir('d' * 200); os.chdir('d' * 200)\n", path,
        ]
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus
    }
}
