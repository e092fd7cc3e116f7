import HoldfastBlobStore
import HoldfastModel
import HoldfastRepository
import HoldfastTestSupport
import Testing

@Suite struct CheckTests {
    /// A repository of about thirty packs.
    private func sample(_ directory: ScratchFolder) throws -> TestRepository {
        let test = try TestRepository(directory)
        for number in 0..<14 {
            let session = try test.repository.beginBackup()
            try session.add(bytes: Array("file \(number)".utf8), as: "/file")
            _ = try session.finish(TestRepository.info())
        }
        return test
    }

    @Test func `all parts together read every pack once, and a part is the same each time`() throws {
        let directory = try ScratchFolder()
        let test = try sample(directory)
        let all = try test.repository.check(readData: .all)
        let parts = try (1...3).map { try test.repository.check(readData: .part($0, of: 3)) }
        #expect(all.packsRead == all.packs && all.packs == 28)
        #expect(parts.reduce(0) { $0 + $1.packsRead } == all.packs && parts.allSatisfy { $0.packsRead < all.packs })
        #expect(parts.reduce(0) { $0 + $1.bytesRead } == all.bytesRead)
        #expect(try test.repository.check(readData: .part(2, of: 3)).bytesRead == parts[1].bytesRead)
        #expect(try test.repository.check(readData: .none).packsRead == 0)
    }

    @Test func `a percentage reads so many packs, and at least one`() throws {
        let directory = try ScratchFolder()
        let test = try sample(directory)
        var generator = SeededGenerator(seed: 81)
        #expect(try test.repository.check(readData: .percent(25), using: &generator).packsRead == 7)
        #expect(try test.repository.check(readData: .percent(0.1)).packsRead == 1)
        #expect(try test.repository.check(readData: .percent(100)).packsRead == 28)
    }

    @Test(arguments: [ReadData.percent(0), .percent(101), .part(0, of: 3), .part(4, of: 3), .part(1, of: 0)])
    func `a choice of packs that cannot be is refused`(_ choice: ReadData) throws {
        let test = try TestRepository(ScratchFolder())
        let error = #expect(throws: HoldfastError.self) { try test.repository.check(readData: choice) }
        #expect(error?.code == .invalidInput)
    }
}
