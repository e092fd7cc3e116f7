import Foundation
import HoldfastDoctor
import HoldfastModel
import Testing

/// What is decided without looking at anything.
@Suite struct JudgementTests {
    private static let gigabyte: UInt64 = 1_000_000_000

    @Test func `a disk is judged by what is left, and by what a restore of the largest backup needs`() {
        typealias Room = DiskCheck.Room
        let check = DiskCheck()
        func state(_ room: Room?, largest: UInt64 = 0) -> Finding.State {
            check.finding("home", "/srv/x", room, largest: largest).state
        }
        let total = 100 * Self.gigabyte
        #expect(state(Room(free: 50 * Self.gigabyte, total: total)) == .good)
        #expect(state(Room(free: 9 * Self.gigabyte, total: total)) == .note)
        #expect(state(Room(free: Self.gigabyte / 5, total: total)) == .wrong)
        #expect(state(Room(free: 50 * Self.gigabyte, total: total, freeFiles: 999)) == .wrong)
        #expect(state(Room(free: 50 * Self.gigabyte, total: total, freeFiles: 1_000_000)) == .good)
        #expect(state(Room(free: 50 * Self.gigabyte, total: total), largest: 51 * Self.gigabyte) == .wrong)
        #expect(state(Room(free: 50 * Self.gigabyte, total: total), largest: 49 * Self.gigabyte) == .good)
        #expect(state(nil) == .note)
        let real = DiskCheck.Room(at: NSTemporaryDirectory())
        #expect(real.map { $0.total >= $0.free && $0.total > 0 } == true)
        #expect(DiskCheck.Room(at: "/nowhere/at/all") == nil)
    }

    @Test func `a clock that cannot be right is told from one that can`() throws {
        let now = try Date("2026-03-01T12:00:00Z", strategy: .iso8601)
        func states(_ now: Date, _ newest: Date?, _ jumped: Int?) -> [Finding.State] {
            ClockCheck(now: now, newestRecord: newest, jumped: jumped).findings().map(\.state)
        }
        #expect(states(now, now.addingTimeInterval(-60), nil) == [.good])
        #expect(states(now, nil, nil) == [.good])
        // Small steps are what NTP does.
        #expect(states(now, now.addingTimeInterval(200), nil) == [.good])
        #expect(states(now, now.addingTimeInterval(3600), nil) == [.wrong])
        #expect(states(now, nil, -7200) == [.wrong])
        #expect(states(Date(timeIntervalSince1970: 100), nil, nil) == [.wrong])
        #expect(states(Date(timeIntervalSince1970: 5e9), nil, nil) == [.wrong])
    }

    @Test func `freezing by signals is worth a word, with the reason`() {
        #expect(FreezerCheck().findings(.cgroup2).map(\.state) == [.good])
        #expect(FreezerCheck().findings(.cgroup1).map(\.state) == [.good])
        let asRoot = FreezerCheck().findings(.signal, isRoot: true)
        let asUser = FreezerCheck().findings(.signal, isRoot: false)
        #expect(asRoot.map(\.state) == [.note])
        #expect(asUser.map(\.state) == [.note])
        #expect(asRoot != asUser)
    }

    @Test func `an error becomes a finding with its hint, or else with the advice`() {
        let with = Finding.wrong("x", HoldfastError(.system, "the disk 'a' fails", hint: "Replace it"), "Look")
        #expect(with == Finding.wrong("x", "the disk 'a' fails", "Replace it"))
        let without = Finding.wrong("x", HoldfastError(.system, "the disk 'a' fails"), "Look")
        #expect(without.advice == "Look")
    }
}
