import Foundation
import HoldfastBackup
import HoldfastEnvironments
import HoldfastModel
import Testing

/// What has no room is refused before anybody is held, and nothing else is.
@Suite struct StagingRoomTests {
    /// 100 MB are free below `/a`, 10 MB below `/b`; nobody knows of other places.
    private func room(shares: Bool = false) -> StagingRoom {
        StagingRoom(
            free: { folder in
                if folder.hasPrefix("/a") { return StagingRoom.Free(fileSystem: 1, bytes: 100_000_000) }
                return folder.hasPrefix("/b") ? StagingRoom.Free(fileSystem: 2, bytes: 10_000_000) : nil
            }, shares: { _, _ in shares })
    }

    @Test func `needs on one file system are added, and the refusal says what is needed, what is free and where`() {
        let error = #expect(throws: HoldfastError.self) {
            try room().check([
                StagingNeed(folder: "/a/staging", bytes: 60_000_000),
                StagingNeed(folder: "/b/other", bytes: 9_000_000, source: "/b/data"),
                StagingNeed(folder: "/a/service", bytes: 41_200_000, source: "/a/service/data"),
            ])
        }
        #expect(error?.code == .noSpace && error?.isTemporary == false)
        #expect(error?.message.contains("needs 101.2 MB, and 100.0 MB are free at /a/staging, /a/service") == true)
        #expect(error?.hint != nil)
    }

    @Test func `what just fits, what needs nothing and what nobody knows is let through`() throws {
        try room().check([])
        try room().check([
            StagingNeed(folder: "/a/staging", bytes: 100_000_000), StagingNeed(folder: "/b/staging", bytes: 10_000_000),
            StagingNeed(folder: "/a/service", bytes: 0, source: "/a/data"),
            StagingNeed(folder: "/elsewhere", bytes: .max),
        ])
    }

    @Test func `copies that share their blocks need no room, and those that were copied before do`() throws {
        let shared = StagingNeed(folder: "/b/service", bytes: 50_000_000, source: "/b/data")
        try room(shares: true).check([shared, StagingNeed(folder: "/b/staging", bytes: 10_000_000)])
        #expect(throws: HoldfastError.self) {
            try room(shares: true).check([shared, StagingNeed(folder: "/b/staging", bytes: 10_000_001)])
        }
        #expect(throws: HoldfastError.self) { try room().check([shared]) }
    }

    @Test func `a folder that is there has room, and one that is not has none that is known`() throws {
        let folder = NSTemporaryDirectory()
        let free = try #require(StagingRoom.Free(at: folder))
        #expect(free.bytes >= 0 && StagingRoom.Free(at: folder)?.fileSystem == free.fileSystem)
        #expect(StagingRoom.Free(at: "\(folder)/holdfast-is-not-there") == nil)
    }
}
