import CHoldfastFiles
import Glibc
import HoldfastBlobStore
import HoldfastModel

/// Carries a plan out: workers read packs in order, each range once, and write files as their blobs come by.
final class RestoreRun: @unchecked Sendable {
    /// The longest range that is read with one call; with its blobs opened a worker needs about four times as much.
    private static let longestRange = 4 << 20
    /// So many files that are written in pieces are kept open.
    private static let openLimit = 256

    private struct Progress {
        var remaining: Int
        var descriptor: Descriptor?
        var isMade = false
        var hasFailed = false
    }

    private let repository: Repository
    private let index: BlobIndex
    private let plan: RestorePlan
    private let target: RestoreTarget
    /// Set before `run`.
    var meter: ProgressMeter?
    private let condition = Condition()
    /// Whose turn it is to write into a file that is written in pieces; several files share one.
    private let turns = (0..<32).map { _ in Condition() }
    // Below: only inside `condition.locked`.
    private var nextUse = 0
    private var progress: [UInt32: Progress] = [:]
    private var openCount = 0
    private var failed: Set<UInt32> = []
    private var running = 0
    private var failure: (any Error)?
    private(set) var report = RestoreReport()

    init(_ repository: Repository, index: BlobIndex, plan: RestorePlan, target: RestoreTarget) {
        self.repository = repository
        self.index = index
        self.plan = plan
        self.target = target
        report.problems = plan.problems
        report.remarks = plan.remarks
        report.kept = plan.kept
    }

    func run() throws {
        do { try restoreAll() } catch {
            target.removeUnfinished()
            throw error
        }
    }

    private func restoreAll() throws {
        var made = [Bool](repeating: true, count: plan.directories.count)
        for number in plan.directories.indices.dropFirst() {
            let directory = plan.directories[number]
            // What is inside of a directory that could not be made fails by itself, and is named.
            made[number] = made[directory.parent]
            guard made[number] else { continue }
            do { try target.make(number) } catch {
                made[number] = false
                try name(error, directory.node.name, in: directory.parent)
            }
        }
        for (number, file) in plan.files.enumerated() where file.chunks == 0 {
            let number = UInt32(number)
            try attempt(number) { try complete(number, target.open(file, number: number, isNew: true)) }
        }
        try readPacks()
        try makeOthers()
        for number in plan.directories.indices.reversed() where made[number] {
            let directory = plan.directories[number]
            if target.keepsMetadata(number) { continue }
            do {
                let missing = try target.finish(target.directory(number), directory.node)
                remark(missing, directory.node.name, in: directory.parent)
                report.directories += 1
            } catch { try name(error, directory.node.name, in: directory.parent) }
        }
        report.problems.sort { $0.path < $1.path }
        report.remarks.sort { $0.path < $1.path }
        report.kept.sort()
    }

    // MARK: Reading

    private func readPacks() throws {
        condition.locked { running = workerCount }
        for number in 0..<workerCount {
            startThread("holdfast-restore-\(number)") { self.work() }
        }
        try condition.locked {
            while running > 0 { condition.wait() }
            if let failure { throw failure }
        }
    }

    private func work() {
        do {
            let reader = try repository.reader(index)
            while let range = nextRange() { try restore(range, reader) }
        } catch {
            condition.locked { failure = failure ?? error }
        }
        condition.locked {
            running -= 1
            condition.broadcast()
        }
    }

    /// The next uses that are read together; they are neighbours in one pack.
    private func nextRange() -> Range<Int>? {
        condition.locked {
            guard failure == nil, nextUse < plan.uses.count else { return nil }
            let start = nextUse
            let pack = plan.uses[start].location.pack
            let group = Neighbours.group(start..<plan.uses.count, longest: Self.longestRange) { number in
                let location = plan.uses[number].location
                return location.pack == pack ? location.range : nil
            }
            nextUse = group?.end ?? plan.uses.count
            return start..<nextUse
        }
    }

    private func restore(_ uses: Range<Int>, _ reader: BlobReader) throws {
        let first = plan.uses[uses.lowerBound].location
        let start = first.range.lowerBound
        let end = plan.uses[uses].reduce(start) { max($0, $1.location.range.upperBound) }
        let pack = BlobName(kind: .data, name: index.packName(first.pack).description)
        var bytes: [UInt8]?
        do {
            bytes = try repository.store.get(pack, range: start..<end)
        } catch let error as HoldfastError where error.code == .damaged || error.code == .notFound {
            bytes = nil  // Each blob is tried by itself, and elsewhere.
        }
        var position = uses.lowerBound
        while position < uses.upperBound {
            let one = sameBlob(from: position, in: uses)
            let two = one.upperBound < uses.upperBound ? sameBlob(from: one.upperBound, in: uses) : nil
            let plain = try bytes?.withUnsafeBytes { bytes -> (UnsafeRawBufferPointer?, UnsafeRawBufferPointer?) in
                let first = sealedBlob(one.lowerBound, in: bytes, start: start)
                guard let two else { return (try reader.unseal(first.bytes, first.location), nil) }
                return try reader.unsealPair(first, sealedBlob(two.lowerBound, in: bytes, start: start))
            }
            try restore(plain?.0, for: one, reader)
            if let two { try restore(plain?.1, for: two, reader) }
            position = two?.upperBound ?? one.upperBound
        }
    }

    /// The uses from `position` on that want the same blob.
    private func sameBlob(from position: Int, in uses: Range<Int>) -> Range<Int> {
        var last = position + 1
        while last < uses.upperBound && plan.uses[last].location == plan.uses[position].location { last += 1 }
        return position..<last
    }

    /// A store that answers with fewer bytes breaks its contract, and must not break us: the blob is empty then, and
    /// counts as damaged.
    private func sealedBlob(_ use: Int, in bytes: UnsafeRawBufferPointer, start: Int) -> SealedBlob {
        let location = plan.uses[use].location
        let range = location.range.lowerBound - start..<location.range.upperBound - start
        return SealedBlob(bytes: bytes.part(range) ?? .empty, location: location)
    }

    /// Writes one blob into all files that want it; if it is damaged here, looks for it elsewhere.
    private func restore(_ opened: UnsafeRawBufferPointer?, for uses: Range<Int>, _ reader: BlobReader) throws {
        var plain = opened
        if plain == nil {
            let location = plan.uses[uses.lowerBound].location
            do {
                plain = try reader.read(location.id, location.type)
            } catch let error as HoldfastError where error.code == .damaged || error.code == .notFound {
                for use in plan.uses[uses] { try attempt(use.file) { throw error } }
                return
            }
        }
        guard let plain else { return }
        // What is used once is no run of zeros, so most blobs are not looked at.
        let isZero = uses.count > 1 && plain.isZero
        for use in plan.uses[uses] { try attempt(use.file) { try write(plain, use, isZero: isZero) } }
    }

    // MARK: Writing

    private func write(_ plain: UnsafeRawBufferPointer, _ use: BlobUse, isZero: Bool) throws {
        meter?.add(bytes: plain.count)
        let file = plan.files[Int(use.file)]
        if file.chunks == 1 {
            let descriptor = try target.open(file, number: use.file, isNew: true)
            try writeFully(descriptor.raw, plain, path: display(file.node.name))
            return try complete(use.file, descriptor)
        }
        guard let descriptor = try openForPiece(use.file, file) else { return }
        // The kernel lets one thread write into a file, and the others spin.
        try turns[Int(use.file) % turns.count].locked {
            if isZero && file.mayHaveHoles {
                try leaveHole(plain.count, use, descriptor, file)
            } else {
                try write(plain, use, descriptor, file)
            }
        }
        let isLast = condition.locked { () -> Bool in
            progress[use.file]?.remaining -= 1
            guard let state = progress[use.file], state.remaining == 0, !state.hasFailed else { return false }
            progress[use.file] = nil
            if state.descriptor != nil { openCount -= 1 }
            return true
        }
        if isLast { try complete(use.file, descriptor) }
    }

    private func write(
        _ plain: UnsafeRawBufferPointer, _ use: BlobUse, _ descriptor: Descriptor, _ file: PlannedFile
    ) throws {
        var written = 0
        while written < plain.count {
            let count = pwrite(
                descriptor.raw, plain.baseAddress.map { $0 + written }, plain.count - written,
                off_t(use.offset) + off_t(written))
            if count < 0 {
                if errno == EINTR { continue }
                throw systemError("write", display(file.node.name))
            }
            written += count
        }
    }

    /// Writes nothing: the file is new, and what was never written of it reads as zeros.
    private func leaveHole(_ count: Int, _ use: BlobUse, _ descriptor: Descriptor, _ file: PlannedFile) throws {
        var status = stat()
        let end = off_t(use.offset) + off_t(count)
        guard fstat(descriptor.raw, &status) == 0, status.st_size >= end || ftruncate(descriptor.raw, end) == 0 else {
            throw systemError("write", display(file.node.name))
        }
    }

    /// A descriptor of a file that is written in pieces; nil if the file has failed already.
    private func openForPiece(_ number: UInt32, _ file: PlannedFile) throws -> Descriptor? {
        // Opening is inside the lock: two workers must not both make the file.
        try condition.locked {
            var state = progress[number] ?? Progress(remaining: file.chunks)
            if state.hasFailed { return nil }
            if let descriptor = state.descriptor { return descriptor }
            defer { progress[number] = state }
            let descriptor = try target.open(file, number: number, isNew: !state.isMade)
            // Writing costs half as much into room that is reserved. Where it cannot be, the writes will tell why.
            if !state.isMade && !file.mayHaveHoles {
                _ = holdfast_preallocate(descriptor.raw, off_t(clamping: file.node.size))
            }
            state.isMade = true
            if openCount < Self.openLimit {
                state.descriptor = descriptor
                openCount += 1
            }
            return descriptor
        }
    }

    private func complete(_ number: UInt32, _ descriptor: Descriptor) throws {
        let file = plan.files[Int(number)]
        let missing = try target.complete(file, number: number, descriptor)
        condition.locked {
            meter?.add(items: 1)
            report.files += 1
            report.bytes += Int64(clamping: file.node.size)
        }
        remark(missing, file.node.name, in: file.directory)
    }

    private func makeOthers() throws {
        for other in plan.others {
            do {
                if let linked = other.linkedFile {
                    guard !failed.contains(UInt32(linked)) else {
                        let path = plan.path(plan.files[linked].node.name, in: plan.files[linked].directory)
                        throw HoldfastError(.damaged, "it is a link to \(path), which was not restored")
                    }
                    try target.link(other, to: plan.files[linked])
                    report.files += 1
                } else {
                    remark(try target.make(other), other.node.name, in: other.directory)
                    report.others += 1
                }
            } catch { try name(error, other.node.name, in: other.directory) }
        }
    }

    // MARK: Failures

    /// Runs a step for one file; what concerns only that file is reported with its name, anything else is thrown.
    private func attempt(_ number: UInt32, _ step: () throws -> Void) throws {
        do { try step() } catch {
            let file = plan.files[Int(number)]
            let isFirst = condition.locked { () -> Bool in
                if progress[number]?.descriptor != nil { openCount -= 1 }
                progress[number] = Progress(remaining: 0, descriptor: nil, isMade: true, hasFailed: true)
                return failed.insert(number).inserted
            }
            guard isFirst else { return }
            // Whatever is in the way and is not ours stays.
            target.remove(number, isForeign: (error as? HoldfastError)?.code == .conflict)
            try name(error, file.node.name, in: file.directory)
        }
    }

    /// Reports what was not restored; throws what makes going on useless.
    private func name(_ error: any Error, _ name: [UInt8], in directory: Int) throws {
        if error is KeptExisting {
            return condition.locked { report.kept.append(plan.path(name, in: directory)) }
        }
        guard let known = error as? HoldfastError else { throw error }
        switch known.code {
        case .damaged, .notFound, .conflict, .system:
            let problem = RestoreProblem(path: plan.path(name, in: directory), reason: known.description)
            condition.locked { report.problems.append(problem) }
        default: throw error
        }
    }

    private func remark(_ missing: [String], _ name: [UInt8], in directory: Int) {
        guard !missing.isEmpty else { return }
        let path = plan.path(name, in: directory)
        condition.locked { report.remarks += missing.map { RestoreProblem(path: path, reason: $0) } }
    }
}
