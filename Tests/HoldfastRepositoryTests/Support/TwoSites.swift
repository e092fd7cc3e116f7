import Foundation
import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

/// Two sites of one repository, of which one may be away for a while.
struct TwoSites {
    let directory: ScratchFolder
    let stores: [FileBlobStore]

    init(_ directory: ScratchFolder) throws {
        self.directory = directory
        stores = try ["one", "two"].map { try FileBlobStore.create(root: directory($0)) }
        _ = try Repository.create(
            store: ReplicatedBlobStore(sites: sites, quorum: 2), password: TestRepository.password, time: LaterTime())
    }

    var sites: [Site] {
        zip(["one", "two"], stores).map { Site(name: $0, region: "here", location: $0, store: $1) }
    }

    func open(_ password: Secret = TestRepository.password) throws -> Repository {
        let store = try ReplicatedBlobStore(sites: sites, quorum: 1)
        return try Repository.open(store: store, password: password, time: LaterTime())
    }

    /// As somebody sees it who knows of this site only.
    func openAlone(_ name: String, _ password: Secret = TestRepository.password) throws -> Repository {
        try Repository.open(store: FileBlobStore(root: directory(name)), password: password, time: LaterTime())
    }

    /// A disk that is not mounted.
    func away<Answer>(_ name: String, _ body: () throws -> Answer) throws -> Answer {
        let files = FileManager.default
        try files.moveItem(atPath: directory(name), toPath: directory(name + ".away"))
        let answer = Result { try body() }
        try files.moveItem(atPath: directory(name + ".away"), toPath: directory(name))
        return try answer.get()
    }

    @discardableResult
    func backUp(_ source: String) throws -> SnapshotID {
        let session = try open().beginBackup()
        defer { session.abandon() }
        try session.capture(source, as: "/data")
        return try session.finish(TestRepository.info()).id
    }

    func restic(_ name: String) -> Restic {
        Restic(repository: directory(name), password: TestRepository.password.reveal())
    }

    /// Both hold the same objects, no records of deletions are left, and restic finds nothing wrong with either.
    func expectEqualAndWhole(sourceLocation: SourceLocation = #_sourceLocation) throws {
        for kind in BlobKind.allCases where kind != .lock {
            let listings = try stores.map { Set(try $0.list(kind)) }
            #expect(listings[0] == listings[1], "\(kind)", sourceLocation: sourceLocation)
            if kind == .deletion { #expect(listings[0].isEmpty, sourceLocation: sourceLocation) }
        }
        for name in ["one", "two"] {
            try restic(name).check(sourceLocation: sourceLocation)
            #expect(try openAlone(name).check(readData: true).problems == [], sourceLocation: sourceLocation)
        }
    }
}
