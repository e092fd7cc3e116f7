import CHoldfastHash
import Foundation
import HoldfastModel

/// Looks at the checksum of every page in the relations' files of a data directory, whether its server runs or not.
///
/// A server puts the checksum in before it writes a page, so a page in a file is right at every moment but the one in
/// which it is being written: what looks wrong is read again before it is judged. Of a copy that was taken under a
/// running server this is true only after its recovery, and a checkpoint.
package struct PostgreSQLPages {
    /// A page with a wrong checksum.
    package struct Wrong: Sendable, Hashable, CustomStringConvertible {
        /// Relative to the data directory.
        package let file: String
        /// Counts from the beginning of the file.
        package let block: Int

        package var description: String { "block \(block) of \(file)" }
    }

    /// What was found.
    package struct Findings: Sendable, Hashable {
        /// How many pages were looked at; new ones, which are all zeros, have no checksum and are not counted.
        package var pages = 0
        package var wrongPages = 0
        /// The first of the wrong ones.
        package var wrong: [Wrong] = []

        package var description: String {
            let names = wrong.map(\.description).joined(separator: ", ")
            return "\(wrongPages) of \(pages) pages have a wrong checksum: \(names)"
                + (wrongPages > wrong.count ? ", …" : "")
        }
    }

    /// So many are named, and waited for before they are read again.
    private static let namedLimit = 10
    private static let pagesAtOnce = 128
    /// For a write that is under way to end.
    private static let pause = 0.1
    /// A change this soon before a look may be followed by another in the same tick of the file system's clock.
    private static let unsettledSeconds = 2

    private let data: GuardedDirectory
    private let pageSize: Int
    private let pagesPerFile: Int
    /// Files that were not changed since then, in seconds of the wall clock, are left out.
    private let since: Int
    private var findings = Findings()

    /// - Parameters:
    ///   - pageSize: bytes, a multiple of 128.
    ///   - pagesPerFile: after so many a relation goes on in another file.
    ///   - changedSince: seconds of the wall clock; files that were not changed since then are left out.
    package init(_ data: GuardedDirectory, pageSize: Int, pagesPerFile: Int, changedSince: Int? = nil) {
        self.data = data
        self.pageSize = pageSize
        self.pagesPerFile = pagesPerFile
        since = changedSince.map { $0 - Self.unsettledSeconds } ?? .min
    }

    /// Asks a server how its files are laid out; nil if its pages have no checksums.
    init?(
        _ data: GuardedDirectory, of session: PostgreSQLSession, timeout: Duration, changedSince: Int? = nil
    ) throws {
        let rows = try session.query(
            "SELECT database_block_size, blocks_per_segment, data_page_checksum_version FROM pg_control_init()",
            timeout: timeout)
        let numbers = (rows.first ?? []).compactMap { $0.flatMap { Int($0) } }
        guard numbers.count == 3, numbers[0] > 0, numbers[0] % 128 == 0, numbers[1] > 0 else {
            throw HoldfastError(.internalFault, "'\(data.path)' has pages of an unknown size")
        }
        guard numbers[2] != 0 else { return nil }
        self.init(data, pageSize: numbers[0], pagesPerFile: numbers[1], changedSince: changedSince)
    }

    /// Reads everything. Files that vanish meanwhile belonged to relations that were dropped.
    package func check() throws -> Findings {
        var pages = self
        try pages.look(into: "global")
        if let base = try Self.ifThere({ try data.directory("base") }) {
            for name in try base.names() where name.utf8.allSatisfy(Self.isDigit) {
                try pages.look(into: "base/\(name)")
            }
        }
        return pages.findings
    }

    /// The number of a relation's file among all of it; nil for a file that is none.
    ///
    /// `16384`, `16384.2`, `16384_fsm`, `16384_vm.1`, `16384_init`.
    package static func part(_ name: String) -> Int? {
        let pieces = name.split(separator: ".", omittingEmptySubsequences: false)
        let words = pieces[0].split(separator: "_", omittingEmptySubsequences: false)
        guard pieces.count <= 2, words.count <= 2, !words[0].isEmpty, words[0].utf8.allSatisfy(isDigit),
            words.count == 1 || ["fsm", "vm", "init"].contains(words[1])
        else { return nil }
        guard pieces.count == 2 else { return 0 }
        // A relation has less than 2^32 pages, which are at most 32768 files.
        return pieces[1].utf8.allSatisfy(isDigit) ? UInt16(pieces[1]).map { Int($0) } : nil
    }

    private mutating func look(into path: String) throws {
        let folder = try Self.ifThere {
            try path.split(separator: "/").reduce(data) { try $0.directory(String($1)) }
        }
        guard let folder else { return }
        for name in try folder.names() {
            guard let part = Self.part(name), let status = try folder.status(name),
                max(status.st_mtim.tv_sec, status.st_ctim.tv_sec) >= since,
                let file = try Self.ifThere({ try folder.openFile(name).descriptor })
            else { continue }
            defer { close(file) }
            try read(file, "\(path)/\(name)", firstPage: part * pagesPerFile)
        }
    }

    private mutating func read(_ file: Int32, _ path: String, firstPage: Int) throws {
        var buffer = [UInt8](repeating: 0, count: Self.pagesAtOnce * pageSize)
        var block = 0
        while true {
            let count = pread(file, &buffer, buffer.count, off_t(block * pageSize))
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw SystemFailure.error("read '\(path)'") }
            // A part of a page at the end is one that is just being added.
            let pages = count / pageSize
            guard pages > 0 else { return }
            for index in 0..<pages {
                let number = UInt32(truncatingIfNeeded: firstPage + block + index)
                guard let isRight = Self.isRight(buffer[(index * pageSize)..<((index + 1) * pageSize)], number) else {
                    continue
                }
                findings.pages += 1
                if !isRight { try readAgain(file, path, block: block + index, number: number) }
            }
            block += pages
        }
    }

    private mutating func readAgain(_ file: Int32, _ path: String, block: Int, number: UInt32) throws {
        if findings.wrong.count < Self.namedLimit { Thread.sleep(forTimeInterval: Self.pause) }
        var page = [UInt8](repeating: 0, count: pageSize)
        let count = pread(file, &page, pageSize, off_t(block * pageSize))
        // Cut off meanwhile, or right now.
        guard count == pageSize, Self.isRight(page[...], number) == false else { return }
        findings.wrongPages += 1
        if findings.wrong.count < Self.namedLimit { findings.wrong.append(Wrong(file: path, block: block)) }
    }

    /// Nil for a new page.
    private static func isRight(_ page: ArraySlice<UInt8>, _ number: UInt32) -> Bool? {
        page.withUnsafeBytes { bytes -> Bool? in
            // Where its rows begin; 0 in a page that was never used.
            if bytes.loadUnaligned(fromByteOffset: 14, as: UInt16.self) == 0, bytes.allSatisfy({ $0 == 0 }) {
                return nil
            }
            return bytes.loadUnaligned(fromByteOffset: 8, as: UInt16.self)
                == holdfast_page_checksum(bytes.baseAddress, bytes.count, number)
        }
    }

    private static func ifThere<Value>(_ body: () throws -> Value) throws -> Value? {
        do { return try body() } catch let error as HoldfastError where error.code == .notFound { return nil }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }
}
