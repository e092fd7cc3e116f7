import Foundation
import HoldfastDoctor
import HoldfastEnvironments
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

/// Each check on a thing that is well, and on the same thing broken.
@Suite struct CheckTests {
    private func wrong(_ findings: [Finding]) -> [String] { findings.filter { $0.state == .wrong }.map(\.what) }

    @Test func `a state directory that others may look into is wrong, with the command that closes it`() throws {
        let folder = try ScratchFolder()
        let home = folder("home")
        for name in ["", "/keys", "/environments", "/projects", "/gateway", "/log"] {
            try FileManager.default.createDirectory(
                atPath: home + name, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        }
        let key = "\(home)/keys/master.key"
        FileManager.default.createFile(atPath: key, contents: Data([1]), attributes: [.posixPermissions: 0o600])
        #expect(HomeCheck(home: home).findings().map(\.state) == [.good])
        chmod(key, 0o640)
        chmod("\(home)/projects", 0o755)
        let findings = HomeCheck(home: home).findings()
        #expect(findings.count == 2)
        #expect(findings.contains { $0.advice == "Run chmod 600 \(key)" })
        chmod(key, 0o600)
        chmod("\(home)/projects", 0o700)
        // Users of environments pass through, if there are any of their own.
        chmod(home, 0o711)
        #expect(HomeCheck(home: home, isRoot: true).findings().map(\.state) == [.good])
        #expect(wrong(HomeCheck(home: home, isRoot: false).findings()).count == 1)
        #expect(wrong(HomeCheck(home: folder("none")).findings()).count == 1)
    }

    @Test func `a file with a secret is to be there, and for its owner alone`() throws {
        let folder = try ScratchFolder()
        let file = folder("secret")
        #expect(wrong(SecretFileCheck(path: file).findings()).count == 1)
        FileManager.default.createFile(atPath: file, contents: Data(), attributes: [.posixPermissions: 0o600])
        #expect(wrong(SecretFileCheck(path: file).findings()).count == 1)
        try Data("x".utf8).write(to: URL(fileURLWithPath: file))
        chmod(file, 0o600)
        #expect(SecretFileCheck(path: file).findings().map(\.state) == [.good])
        chmod(file, 0o644)
        #expect(wrong(SecretFileCheck(path: file).findings()).count == 1)
    }

    @Test func `a catalogue is looked at while it is open, and a broken one is told from none`() throws {
        let bench = try Bench()
        let path = bench.folder("catalogue.sqlite")
        let (findings, inspection) = CatalogueCheck(path: path).findings()
        #expect(findings.map(\.state) == [.good])
        #expect(inspection?.schema == .current)
        try bench.backUp()
        #expect(CatalogueCheck(path: path).findings().inspection?.newestRecord == bench.time.now())

        let other = bench.folder("other.sqlite")
        #expect(wrong(CatalogueCheck(path: other).findings().findings).count == 1)
        try Data(repeating: 7, count: 8192).write(to: URL(fileURLWithPath: other))
        #expect(wrong(CatalogueCheck(path: other).findings().findings).count == 1)
        // A page in the middle of a database that was whole.
        try bench.catalogue.closeIntoOneFile()
        let file = try #require(FileHandle(forUpdatingAtPath: path))
        try file.seek(toOffset: 4096 * 3)
        try file.write(contentsOf: Data(repeating: 0xee, count: 4096 * 2))
        try file.close()
        #expect(!wrong(CatalogueCheck(path: path).findings().findings).isEmpty)
    }

    @Test func `sites that hold all backups are well, and stay so without a server`() throws {
        let bench = try Bench()
        try bench.backUp()
        #expect(try SiteCheck(bench.facts()).findings().map(\.state) == [.good])
    }

    @Test func `a site that is away, lost its repository, or lost a snapshot is wrong, each in its own words`() throws {
        let bench = try Bench()
        let backup = try bench.backUp()
        let snapshot = "\(bench.repository("b"))/snapshots/\(backup.snapshot)"
        #expect(FileManager.default.fileExists(atPath: snapshot))
        try FileManager.default.removeItem(atPath: snapshot)
        let lost = wrong(SiteCheck(try bench.facts()).findings())
        #expect(lost.count == 1)
        #expect(lost.first?.contains("site b") == true && lost.first?.contains("gone") == true, "\(lost)")

        try FileManager.default.removeItem(atPath: bench.repository("b"))
        let empty = wrong(SiteCheck(try bench.facts()).findings())
        #expect(empty.count == 1)
        #expect(empty.first?.contains("no repository") == true, "\(empty)")

        try FileManager.default.removeItem(atPath: bench.folder("site-b"))
        let away = wrong(SiteCheck(try bench.facts()).findings())
        #expect(away.count == 1)
        #expect(away.first?.contains("is away") == true, "\(away)")
    }

    @Test func `a site that holds another repository is told from one that is damaged`() throws {
        let bench = try Bench()
        try bench.backUp()
        let other = try Bench()
        try other.backUp()
        try FileManager.default.removeItem(atPath: bench.repository("b"))
        try FileManager.default.copyItem(atPath: other.repository("a"), toPath: bench.repository("b"))
        let foreign = wrong(SiteCheck(try bench.facts()).findings())
        #expect(foreign.contains { $0.contains("another repository") }, "\(foreign)")

        try FileManager.default.removeItem(atPath: bench.repository("b"))
        try FileManager.default.copyItem(atPath: bench.repository("a"), toPath: bench.repository("b"))
        #expect(try SiteCheck(bench.facts()).findings().map(\.state) == [.good])
        let config = "\(bench.repository("b"))/config"
        chmod(config, 0o600)
        try Data("nonsense".utf8).write(to: URL(fileURLWithPath: config))
        let damaged = wrong(SiteCheck(try bench.facts()).findings())
        #expect(damaged.count == 1)
        #expect(damaged.first?.contains("another repository") == false, "\(damaged)")
    }

    @Test func `a site that a backup did not reach is behind`() throws {
        let bench = try Bench()
        let backup = try bench.backUp()
        try bench.catalogue.updateSites(
            of: backup.id,
            to: [SitePlacement(site: "a", isComplete: true), SitePlacement(site: "b", isComplete: false)],
            at: bench.time.now())
        let behind = wrong(SiteCheck(try bench.facts()).findings())
        #expect(behind.count == 1)
        #expect(behind.first?.contains("behind by 1") == true, "\(behind)")
        #expect(try wrong(BackupCheck(bench.facts()).findings()).contains { $0.contains("not complete on b") })
    }

    @Test func `a lock of a process that is gone is stale, and one that is held is not`() throws {
        let bench = try Bench()
        let sites = try bench.repositories.sites(of: bench.project.id)
        let repository = try bench.repositories.open(bench.project.id, on: sites)
        let session = try repository.beginBackup(BackupOptions(parent: nil))
        #expect(try SiteCheck(bench.facts()).findings().map(\.state) == [.good])
        // Nobody has refreshed it for an hour, by the clock that the doctor goes by.
        bench.time.advance(400 * 365 * 86_400)
        let stale = SiteCheck(try bench.facts()).findings().filter { $0.check == "locks" }
        #expect(stale.map(\.state) == [.wrong, .wrong])
        withExtendedLifetime(session) {}
    }

    @Test func `environments are judged by schedule, overdue backups, failures and drills`() throws {
        let bench = try Bench()
        func states() throws -> [String: Finding.State] {
            Dictionary(BackupCheck(try bench.facts()).findings().map { ($0.what, $0.state) }) { first, _ in first }
        }
        try bench.backUp()
        // There is a backup, and nobody has ever restored one.
        #expect(try states().values.sorted { $0.rawValue < $1.rawValue } == [.note])
        let drill = Activity(
            id: .random(), project: bench.project.id, environment: bench.main.id, type: .drill, user: nil, text: "x",
            createdAt: bench.time.now())
        try bench.catalogue.createActivity(drill)
        _ = try bench.catalogue.claimActivity(in: .default, at: bench.time.now())
        try bench.catalogue.finishActivity(drill.id, result: .success, failure: nil, at: bench.time.now())
        #expect(try states().values.map(\.self) == [.good])

        bench.time.advance(2 * 86_400)
        #expect(try states().contains { $0.key.contains("overdue") && $0.value == .wrong })
        try bench.backUp()
        #expect(try states().values.map(\.self) == [.good])
        let failed = Activity(
            id: .random(), project: bench.project.id, environment: bench.main.id, type: .backup, user: nil, text: "x",
            createdAt: bench.time.now())
        try bench.catalogue.createActivity(failed)
        _ = try bench.catalogue.claimActivity(in: .backup, at: bench.time.now())
        try bench.catalogue.finishActivity(failed.id, result: .failure, failure: "it is full", at: bench.time.now())
        #expect(try states().contains { $0.key.contains("it is full") && $0.value == .wrong })

        var stage = Environment(
            id: .random(), project: bench.project.id, name: "stage", type: .staging, status: .active,
            createdAt: bench.time.now())
        try bench.catalogue.createEnvironment(stage)
        #expect(try states().contains { $0.key.contains("stage has no schedule") && $0.value == .note })
        stage.status = .inactive
        try bench.catalogue.update(stage)
        #expect(try !states().contains { $0.key.contains("stage") })
    }

    @Test func `gateway and supervisors that do not answer are wrong, and only where an environment is active`() throws
    {
        let bench = try Bench()
        let socket = bench.folder("gateway.sock")
        let findings = wrong(ProcessCheck(try bench.facts(), gatewaySocket: socket).findings())
        #expect(findings.count == 2)
        #expect(findings.contains { $0.contains("gateway") } && findings.contains { $0.contains("supervisor") })
        var main = bench.main
        main.status = .paused
        try bench.catalogue.update(main)
        #expect(try ProcessCheck(bench.facts(), gatewaySocket: socket).findings().map(\.state) == [.good])
    }

    @Test func `a program that is missing is named with the package that brings it`() throws {
        let bench = try Bench()
        #expect(try ProgramCheck(bench.facts()).findings().map(\.state) == [.good])
        let empty = ProgramCheck(try bench.facts(), path: bench.folder.path).findings()
        #expect(empty.contains { $0.what.contains("git") && $0.advice?.contains("apt-get install git") == true })
    }
}
