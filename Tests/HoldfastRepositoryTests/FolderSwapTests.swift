import Foundation
import Glibc
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Synchronization
import Testing

/// Two folders change places, whatever the file system can do, and whatever fails.
@Suite struct FolderSwapTests {
    /// Two folders with a file each.
    private struct Bench {
        let place: ScratchFolder
        var one: String { place("one") }
        var two: String { place("two") }
        var aside: String { FolderSwap.aside(one) }

        init() throws {
            place = try ScratchFolder()
            for name in ["one", "two"] {
                try makeDirectory(place(name))
                try writeFile(place(name) + "/file", name)
            }
        }

        /// What is in the folder at a path; nil if none is there.
        func content(_ path: String) -> String? { try? String(contentsOfFile: path + "/file", encoding: .utf8) }
    }

    /// Renames, of which some fail.
    private final class Renames: Sendable {
        private let failing: Set<Int>
        private let count = Mutex(0)

        init(failing: Set<Int>) { self.failing = failing }

        func call(_ from: String, _ to: String) -> Int32 {
            let number = count.withLock { count in
                count += 1
                return count
            }
            if failing.contains(number) { return EBUSY }
            return rename(from, to) == 0 ? 0 : errno
        }
    }

    private func swap(_ reason: Int32, failing: Set<Int> = []) -> FolderSwap {
        let renames = Renames(failing: failing)
        return FolderSwap(swap: { _, _ in reason }, rename: { renames.call($0, $1) })
    }

    @Test func `both change places at once where that can be done`() throws {
        let bench = try Bench()
        let place = try FolderSwap(rename: { _, _ in EIO }).exchange(bench.one, bench.two)
        #expect(place == bench.two && bench.content(bench.one) == "two" && bench.content(bench.two) == "one")
    }

    @Test(arguments: [EINVAL, ENOSYS, EOPNOTSUPP])
    func `where the file system cannot exchange them they are renamed`(_ reason: Int32) throws {
        let bench = try Bench()
        #expect(try swap(reason).exchange(bench.one, bench.two) == bench.two)
        #expect(bench.content(bench.one) == "two" && bench.content(bench.two) == "one")
        #expect(bench.content(bench.aside) == nil)
    }

    @Test(arguments: [EACCES, EIO, EBUSY, EPERM, ENOENT])
    func `any other failure changes nothing`(_ reason: Int32) throws {
        let bench = try Bench()
        let error = #expect(throws: HoldfastError.self) { try swap(reason).exchange(bench.one, bench.two) }
        #expect(error?.message.contains(bench.one) == true && error?.message.contains(bench.two) == true)
        #expect(bench.content(bench.one) == "one" && bench.content(bench.two) == "two")
    }

    @Test(arguments: [[1], [2]] as [Set<Int>])
    func `if the first or the second rename fails everything is as it was`(_ failing: Set<Int>) throws {
        let bench = try Bench()
        let error = #expect(throws: HoldfastError.self) {
            try swap(EINVAL, failing: failing).exchange(bench.one, bench.two)
        }
        #expect(error?.message.contains(bench.one) == true)
        #expect(bench.content(bench.one) == "one" && bench.content(bench.two) == "two")
        #expect(bench.content(bench.aside) == nil)
    }

    @Test func `if the way back fails as well the error names where the folder is`() throws {
        let bench = try Bench()
        let error = #expect(throws: HoldfastError.self) {
            try swap(EINVAL, failing: [2, 3]).exchange(bench.one, bench.two)
        }
        #expect(bench.content(bench.aside) == "one" && bench.content(bench.two) == "two")
        #expect(error?.message.contains(bench.aside) == true && error?.hint?.contains(bench.one) == true)
    }

    @Test func `if only the third rename fails they are exchanged, and the old one is where it was set aside`() throws {
        let bench = try Bench()
        #expect(try swap(EINVAL, failing: [3]).exchange(bench.one, bench.two) == bench.aside)
        #expect(bench.content(bench.one) == "two" && bench.content(bench.aside) == "one")
    }

    @Test func `what was set aside before is not replaced`() throws {
        let bench = try Bench()
        try makeDirectory(bench.aside)
        let error = #expect(throws: HoldfastError.self) { try swap(EINVAL).exchange(bench.one, bench.two) }
        #expect(error?.code == .conflict && error?.message.contains(bench.aside) == true)
        #expect(bench.content(bench.one) == "one" && bench.content(bench.two) == "two")
    }
}
