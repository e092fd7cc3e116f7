import HoldfastModel
import Synchronization

/// Several sites as one store: writes go to all of them, reads come from the first that can answer.
///
/// - **Put** goes to all sites at once, and returns when `quorum` of them have the object durably and the others have
///   answered or `grace` has passed. A site that fails a put gets no more in this session and is reported as not
///   complete. Below the quorum a put throws `noSpace` if any site's disk is full, else `unavailable`; it throws
///   `conflict` if any site holds another repository's config.
/// - **Slow sites**: one that lets the grace pass is not waited for again until it has caught up; if it falls too far
///   behind it is given up like one that failed.
/// - **Get** asks one site after the other until one answers. **List** is the union of what the reachable sites hold,
///   and finds out which of them lack something. **Delete** reaches all sites that can be reached, and succeeds if it
///   reached any; the others are reported as not complete.
/// - **Condemned** objects (`condemn`) are left out of listings: a site that was away still holds what was deleted.
/// - The **config** has to be the same on all sites; if it is not, getting it throws `damaged`. A site that turns out
///   to hold another repository (`SiteIdentity`) is neither read nor listed nor changed from then on.
///
/// A store stands for one session, such as one backup: make a new one for the next, and `report()` speaks of this one.
/// Each site has one thread of its own, which ends with the store; reads run on the caller's thread.
public final class ReplicatedBlobStore: BlobStore {
    /// In order of preference for reading.
    public let sites: [Site]
    public let quorum: Int
    private let grace: Duration
    private let patience: Duration
    private let time: any TimeSource
    private let workers: [SiteWorker]
    private let replication: Monitor<Replication>
    private let pool: BufferPool
    /// Two configs put at once must not each win on some sites.
    private let creating = Mutex<Void>(())
    private let condemned = Mutex<Set<BlobName>>([])
    private let judge = Mutex<(@Sendable (BlobName, [UInt8]) -> Bool)?>(nil)

    /// - Parameters:
    ///   - sites: In order of preference for reading, nearest first; names must differ.
    ///   - quorum: How many must have an object durably before its put succeeds; 1 to the number of sites.
    ///   - grace: How long a put waits for the other sites once the quorum is met.
    ///   - patience: How long a call waits for its quorum before it fails.
    ///   - time: Its monotonic clock must be the machine's.
    /// - Throws: `invalidInput`.
    public init(
        sites: [Site], quorum: Int, grace: Duration = .seconds(10), patience: Duration = .seconds(120),
        time: any TimeSource = SystemTime()
    ) throws {
        guard !sites.isEmpty, Set(sites.map(\.name)).count == sites.count else {
            throw HoldfastError(
                .invalidInput, "the sites \(sites.map(\.name)) are none, or share a name",
                hint: "Give each site a name of its own")
        }
        guard (1...sites.count).contains(quorum) else {
            throw HoldfastError(
                .invalidInput, "the quorum \(quorum) is not between 1 and the number of sites, \(sites.count)",
                hint: "Set storage.quorum to at most the number of sites")
        }
        self.sites = sites
        self.quorum = quorum
        self.grace = grace
        self.patience = patience
        self.time = time
        self.workers = sites.map { SiteWorker(site: $0.name) }
        self.replication = Monitor(Replication(sites: sites.count, quorum: quorum, lateLimit: 4))
        self.pool = BufferPool(limit: 4)
    }

    public func put(_ name: BlobName, _ bytes: UnsafeRawBufferPointer) throws {
        try name.validate()
        guard name.kind != .config else { return try creating.withLock { _ in try replicate(name, bytes) } }
        try replicate(name, bytes)
    }

    private func replicate(_ name: BlobName, _ bytes: UnsafeRawBufferPointer) throws {
        guard let participants = replication.update({ $0.admitPut(of: name.kind) }) else {
            throw belowQuorum(name, stored: 0)
        }
        let count = bytes.count
        let verdict: QuorumTally.Verdict
        let answers: [Int: Result<Void, HoldfastError>]
        if sites.count == 1 {
            // Nobody else to wait for: no copy, and no other thread.
            let result = Self.result { try sites[0].store.put(name, bytes) }
            Self.record(result, of: 0, bytes: count, in: replication)
            answers = [0: result]
            verdict = if case .success = result { .met } else { .unreachable }
        } else {
            let shared = pool.copy(bytes)
            (answers, verdict) = ask(participants, quorum: quorum, putting: count) { store in
                try shared.withBytes { try store.put(name, $0) }
            }
        }
        let stored = answers.values.count { if case .success = $0 { true } else { false } }
        for case .failure(let error) in answers.values where error.code == .conflict { throw error }
        guard verdict == .met || verdict == .stragglers else { throw belowQuorum(name, stored: stored) }
    }

    public func get(_ name: BlobName) throws -> [UInt8] {
        if name == .config { return try config() }
        return try read(name) { try $0.get(name) }
    }

    public func get(_ name: BlobName, range: Range<Int>) throws -> [UInt8] {
        try read(name) { store in
            let bytes = try store.get(name, range: range)
            guard bytes.count == range.count else { throw name.tooShort(for: range, size: bytes.count) }
            return bytes
        }
    }

    /// Of the config, sites with one that is not accepted get no more puts: it may be another repository's.
    public func get(_ name: BlobName, range: Range<Int>?, where isGood: ([UInt8]) -> Bool) throws -> [UInt8] {
        if name == .config, range == nil { return try config(where: isGood) }
        return try read(name) { try $0.get(name, range: range, where: isGood) }
    }

    public func size(_ name: BlobName) throws -> Int {
        try read(name) { try $0.size(name) }
    }

    public func list(_ kind: BlobKind) throws -> [BlobEntry] {
        let answers = askAll { try $0.list(kind) }
        /// The smallest and the largest.
        var sizes: [BlobName: ClosedRange<Int>] = [:]
        var listings: [(site: Int, entries: [BlobEntry])] = []
        let condemned = condemned.withLock { $0 }
        for (site, answer) in answers.sorted(by: { $0.key < $1.key }) {
            switch answer {
            case .success(let all):
                let entries = condemned.isEmpty ? all : all.filter { !condemned.contains($0.name) }
                listings.append((site, entries))
                for entry in entries {
                    let known = sizes[entry.name] ?? entry.size...entry.size
                    sizes[entry.name] = min(known.lowerBound, entry.size)...max(known.upperBound, entry.size)
                }
            case .failure(let error):
                change(site) { $0.fallBehind(error) }
            }
        }
        guard !listings.isEmpty else { throw noSite("list \(kind.rawValue) objects", answers) }
        // Locks come and go at every moment, our own notes are replaced by newer ones, and no backup needs either.
        if kind != .lock && kind.isOfRestic {
            for listing in listings { compare(listing.entries, of: listing.site, with: sizes, kind) }
        }
        return sizes.map { BlobEntry(name: $0.key, size: $0.value.upperBound) }
    }

    public func delete(_ name: BlobName) throws {
        try name.validate()
        let answers = askAll { try $0.delete(name) }
        var reached = 0
        for site in sites.indices {
            switch answers[site] {
            case .success?: reached += 1
            case .failure(let error)?: change(site) { $0.fallBehind(error) }
            case nil:
                let error = HoldfastError(.timedOut, "it did not answer the deletion of \(name)")
                change(site) { $0.fallBehind(error) }
            }
        }
        guard reached > 0 else { throw noSite("delete \(name)", answers) }
    }

    /// Deletes an object on the sites that are not known to lack anything, and leaves it on the others.
    ///
    /// A site that missed an index file must keep the old one until it is healed: else what it holds could not be read
    /// any more. The caller has stored a deletion record before.
    ///
    /// - Throws: `unavailable` if there is no such site, or none of them could delete it.
    package func deleteOnWholeSites(_ name: BlobName) throws {
        try name.validate()
        let participants = replication.update { $0.admitWhole() }
        let (answers, _) = ask(participants, quorum: max(participants.count, 1), putting: nil) { try $0.delete(name) }
        var reached = 0
        for participant in participants {
            let lateness = HoldfastError(.timedOut, "it did not answer the deletion of \(name)")
            switch answers[participant.site] ?? .failure(lateness) {
            case .success: reached += 1
            case .failure(let error): replication.update { $0.change(participant.site) { $0.fallBehind(error) } }
            }
        }
        guard reached > 0 else {
            throw HoldfastError(
                .unavailable, "no site is complete, so \(name) cannot be deleted", hint: "Heal the sites first",
                cause: replication.read { $0.worstProblem }?.error)
        }
    }

    /// Says how to tell the right bytes of an object, whose name is their hash: without it all copies that differ in
    /// length count as wrong.
    package func judge(by isGood: @escaping @Sendable (BlobName, [UInt8]) -> Bool) { judge.withLock { $0 = isGood } }

    /// Says which objects deletion records name: listings leave them out from now on. It replaces what was said before.
    package func condemn(_ names: Set<BlobName>) { condemned.withLock { $0 = names } }

    /// Adds to what is condemned.
    package func condemn(also names: [BlobName]) { condemned.withLock { $0.formUnion(names) } }

    /// What any site holds that can be reached, condemned or not. Says nothing about which site lacks what.
    ///
    /// - Throws: `unavailable` if none can be reached.
    package func namesAnywhere(_ kind: BlobKind) throws -> Set<BlobName> {
        let answers = askAll { try $0.list(kind) }
        let listings = answers.values.compactMap { try? $0.get() }
        if listings.isEmpty { throw noSite("list \(kind.rawValue) objects", answers) }
        return Set(listings.joined().map(\.name))
    }

    /// The device of all sites, if it is the same one.
    public func device() -> UInt64? {
        let devices = Set(sites.map { $0.store.device() })
        return devices.count == 1 ? devices.first ?? nil : nil
    }

    /// How each site fared since this store was made, in the order of `sites`.
    public func report() -> [SiteReport] {
        let standings = replication.read { $0.standings }
        // Looking at a disk that hangs would hang as well.
        let devices = sites.indices.map { standings[$0].isLate ? nil : sites[$0].store.device() }
        return sites.indices.map { index in
            let site = sites[index]
            let others = sites.indices.filter { $0 != index && devices[$0] != nil && devices[$0] == devices[index] }
            let problem = standings[index].problem
            return SiteReport(
                name: site.name, region: site.region, location: site.location, isComplete: problem == nil,
                problem: problem.map { String(describing: $0) }, sharesDeviceWith: others.map { sites[$0].name },
                storedObjects: standings[index].storedObjects, storedBytes: standings[index].storedBytes)
        }
    }

    /// Asks one site, and waits for it as long as for a quorum.
    func ask<Answer: Sendable>(
        only site: Int, _ call: @escaping @Sendable (any BlobStore) throws -> Answer
    ) throws -> Answer {
        let participant = replication.update { $0.admit(only: site) }
        guard let answer = ask([participant], quorum: 1, putting: nil, call).answers[site] else {
            throw HoldfastError(
                .timedOut, "site '\(sites[site].name)' does not answer", hint: "Check its disk or network")
        }
        return try answer.get()
    }

    /// Takes back what was known against sites that are healed.
    func forgive(_ healed: [Int]) {
        for site in healed { change(site) { $0.healed() } }
    }

    /// Changes what is known of one site.
    func change(_ site: Int, _ body: (inout SiteStanding) -> Void) { replication.update { $0.change(site, body) } }

    /// Why a site is neither asked nor changed; nil if it is.
    package func strangeness(of site: Int) -> HoldfastError? { replication.read { $0.standings[site].strangeness } }

    /// The sites that are not known to hold another repository.
    package var ownSites: [Site] { sites.indices.filter { strangeness(of: $0) == nil }.map { sites[$0] } }

    /// Waits until no site has a call without an answer: before a report, it gives a late site a chance.
    ///
    /// - Returns: Whether all answered in time.
    @discardableResult
    public func settle(atMost limit: Duration) -> Bool {
        let isSettled: Void? = replication.wait(until: deadline(limit)) { replication in
            replication.standings.allSatisfy { $0.outstanding == 0 } ? () : nil
        }
        return isSettled != nil
    }
}

extension ReplicatedBlobStore {
    /// One call to several sites, as their threads and the caller see it.
    private struct Round<Answer: Sendable>: Sendable {
        var tally: QuorumTally
        var answers: [Int: Result<Answer, HoldfastError>] = [:]
    }

    /// Gives a call to the threads of the participants, and waits as long as it is worth it.
    ///
    /// - Parameters:
    ///   - quorum: How many successes are enough.
    ///   - size: Bytes of the put; nil if the call is not a put.
    /// - Returns: The answers by site, without those that did not come in time, and the verdict at the end.
    func ask<Answer: Sendable>(
        _ participants: [Participant], quorum: Int, putting size: Int?,
        _ call: @escaping @Sendable (any BlobStore) throws -> Answer
    ) -> (answers: [Int: Result<Answer, HoldfastError>], verdict: QuorumTally.Verdict) {
        let round = Monitor(Round<Answer>(tally: QuorumTally(quorum: quorum, participants: participants)))
        for participant in participants {
            let store = sites[participant.site].store
            workers[participant.site].enqueue { [replication] in
                // An earlier call in the queue may have failed in the meantime.
                let refusal = size == nil ? nil : replication.read { $0.standings[participant.site].refusal }
                let result = Self.result {
                    if let refusal { throw refusal }
                    return try call(store)
                }
                Self.record(result, of: participant.site, bytes: size, in: replication)
                round.update { round in
                    round.answers[participant.site] = result
                    if case .success = result {
                        round.tally.answer(participant, isSuccess: true)
                    } else {
                        round.tally.answer(participant, isSuccess: false)
                    }
                }
            }
        }
        let first = round.wait(until: deadline(patience)) { round in
            round.tally.verdict == .undecided ? nil : round.tally.verdict
        }
        if first == .stragglers {
            _ = round.wait(until: deadline(grace)) { $0.tally.verdict == .stragglers ? nil : $0.tally.verdict }
        }
        let end = round.read { $0 }
        if end.tally.verdict != .unreachable {
            for late in end.tally.pending where late.isAwaited {
                replication.update { $0.change(late.site) { $0.wasNotWaitedFor() } }
            }
        }
        return (end.answers, end.tally.verdict)
    }

    /// Asks all sites that are not late; one success is enough to stop waiting for those that hang.
    func askAll<Answer: Sendable>(
        _ call: @escaping @Sendable (any BlobStore) throws -> Answer
    ) -> [Int: Result<Answer, HoldfastError>] {
        let participants = replication.update { $0.admitQuestion() }
        var answers = ask(participants, quorum: 1, putting: nil, call).answers
        for site in sites.indices where answers[site] == nil {
            let error = HoldfastError(
                .timedOut, "site '\(sites[site].name)' does not answer", hint: "Check its disk or network")
            answers[site] = .failure(strangeness(of: site) ?? error)
        }
        return answers
    }

    /// Notes what came of a call to a site.
    private static func record<Answer>(
        _ result: Result<Answer, HoldfastError>, of site: Int, bytes: Int?, in replication: Monitor<Replication>
    ) {
        replication.update { replication in
            replication.change(site) { standing in
                standing.answered()
                guard let bytes else { return }
                switch result {
                case .success: standing.stored(bytes: bytes)
                // Another repository's config: the put throws, and the site is as good as it was.
                case .failure(let error) where error.code == .conflict: standing.fallBehind(error)
                case .failure(let error): standing.missedPut(error)
                }
            }
        }
    }

    private static func result<Answer>(_ body: () throws -> Answer) -> Result<Answer, HoldfastError> {
        do {
            return .success(try body())
        } catch let error as HoldfastError {
            return .failure(error)
        } catch {
            return .failure(HoldfastError(.system, "the site failed", cause: error))
        }
    }

    /// Asks one site after the other, and notes which of them could not answer what another one could.
    private func read<Answer>(_ name: BlobName, _ call: (any BlobStore) throws -> Answer) throws -> Answer {
        try name.validate()
        var failures: [(site: Int, error: HoldfastError)] = []
        for site in replication.read({ $0.readingOrder }) {
            switch Self.result({ try call(sites[site].store) }) {
            case .failure(let error): failures.append((site, error))
            case .success(let answer):
                note(failures, of: name, answeredBy: site)
                return answer
            }
        }
        // "Not found" is the truth only if every site could look.
        let worst =
            failures.first { $0.error.code != .notFound && $0.error.code != .damaged }
            ?? failures.first { $0.error.code == .damaged }
        throw worst?.error ?? name.notFound
    }

    /// Notes which sites could not answer a read that another one could.
    private func note(_ failures: [(site: Int, error: HoldfastError)], of name: BlobName, answeredBy site: Int) {
        if failures.isEmpty { return }
        replication.update { replication in
            replication.change(site) { $0.triedToRead(true) }
            for failure in failures {
                let isLacking = failure.error.code == .notFound || failure.error.code == .damaged
                replication.change(failure.site) { standing in
                    if !isLacking { standing.triedToRead(false) }
                    if isLacking && name.kind != .lock { standing.fallBehind(failure.error) }
                }
            }
        }
    }

    private func config() throws -> [UInt8] {
        let answers = askAll { try $0.get(.config) }
        var found: (site: Int, bytes: [UInt8])?
        for site in sites.indices {
            guard case .success(let bytes)? = answers[site] else { continue }
            if let found, found.bytes != bytes {
                throw HoldfastError(
                    .damaged, "sites '\(sites[found.site].name)' and '\(sites[site].name)' hold different configs",
                    hint: "Take the site out that holds another repository, or a damaged one")
            }
            found = found ?? (site, bytes)
        }
        guard let found else {
            let failures = sites.indices.compactMap { site -> HoldfastError? in
                if case .failure(let error)? = answers[site] { error } else { nil }
            }
            throw failures.first { $0.code != .notFound } ?? BlobName.config.notFound
        }
        for (site, answer) in answers {
            if case .failure(let error) = answer { change(site) { $0.fallBehind(error) } }
        }
        return found.bytes
    }

    /// Notes that a site lacks what others have, or has it in a wrong length.
    ///
    /// The listings were not taken at the same moment, so a difference is only believed after a second look.
    private func compare(
        _ entries: [BlobEntry], of site: Int, with sizes: [BlobName: ClosedRange<Int>], _ kind: BlobKind
    ) {
        var own: [BlobName: Int] = [:]
        for entry in entries { own[entry.name] = entry.size }
        let lacking = sizes.keys.filter { own[$0] == nil }
        let others = replication.read { replication in
            replication.readingOrder.filter { $0 != site && !replication.standings[$0].isLate }
        }
        let isReal = lacking.prefix(64).contains { name in
            if (try? sites[site].store.size(name)) != nil { return false }
            return others.contains { (try? sites[$0].store.size(name)) != nil }
        }
        // Of two lengths only the bytes tell which one is right.
        let wrong = entries.lazy.filter { sizes[$0.name] != $0.size...$0.size }.prefix(64)
            .filter { !self.holds($0.name, site) }.count
        guard isReal || wrong > 0 else { return }
        let count = isReal ? lacking.count : wrong
        let what = "\(count) \(kind.rawValue) object\(count == 1 ? "" : "s")"
        let error = HoldfastError(
            .damaged, isReal ? "it lacks \(what) that another site has" : "it has \(what) in a wrong length")
        change(site) { $0.fallBehind(error) }
    }

    /// Whether a site has an object with the right bytes, or none any more.
    private func holds(_ name: BlobName, _ site: Int) -> Bool {
        switch Self.result({ try sites[site].store.get(name) }) {
        case .success(let bytes): judge.withLock { $0 }?(name, bytes) ?? false
        case .failure(let error): error.code == .notFound
        }
    }

    private func belowQuorum(_ name: BlobName, stored: Int) -> HoldfastError {
        let worst = replication.read { $0.worstProblem }
        let short = "\(name) is on \(stored) of the \(quorum) sites that are required"
        guard let worst else { return HoldfastError(.unavailable, short) }
        // The cause first: it is what somebody can do something about.
        return HoldfastError(
            worst.error.code == .noSpace ? .noSpace : .unavailable,
            "\(worst.error.message) on site '\(sites[worst.site].name)', so \(short)",
            hint: worst.error.hint, cause: worst.error.cause)
    }

    private func noSite<Answer>(
        _ action: String, _ answers: [Int: Result<Answer, HoldfastError>]
    ) -> HoldfastError {
        let errors = sites.indices.compactMap { site -> HoldfastError? in
            if case .failure(let error)? = answers[site] { error } else { nil }
        }
        return HoldfastError(.unavailable, "no site could \(action)", cause: errors.first)
    }

    private func deadline(_ limit: Duration) -> UInt64 {
        let nanoseconds = Double(limit.components.seconds) * 1e9 + Double(limit.components.attoseconds) / 1e9
        return time.monotonicNanoseconds() + UInt64(min(max(nanoseconds, 0), 1e18))
    }
}
