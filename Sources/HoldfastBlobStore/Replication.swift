import HoldfastModel

/// What a site may still be asked in this session, and what is known against it.
///
/// Legal moves: whole -> behind -> out, or whole -> out; back to whole only by healing, because nothing else makes up
/// for what a site missed, or from behind if what it was compared with was another repository. Anything -> foreign, and
/// never back. Late comes and goes.
package struct SiteStanding: Sendable {
    package enum Condition: Sendable {
        /// It took every put, and is not known to lack anything.
        case whole
        /// It lacks something that another site has, or could not be looked at. It is still written to.
        case behind(HoldfastError)
        /// It missed a put. It gets no more: an index without its packs would break a repository that is merely old.
        case out(HoldfastError)
        /// It holds another repository: it is neither asked nor changed.
        case foreign(HoldfastError)
    }

    package private(set) var condition = Condition.whole
    /// Calls that were given to it and have no answer.
    package private(set) var outstanding = 0
    /// A call returned without its answer. It is not waited for until it has answered all that is outstanding.
    package private(set) var isLate = false
    /// The last read from it failed; that does not mean that it lacks anything, and others are asked first.
    package private(set) var failedToRead = false
    package private(set) var storedObjects = 0
    package private(set) var storedBytes: Int64 = 0

    package var isWhole: Bool { if case .whole = condition { true } else { false } }

    /// Why it gets no more puts; nil if it does.
    package var refusal: HoldfastError? {
        switch condition {
        case .out(let error), .foreign(let error): error
        case .whole, .behind: nil
        }
    }

    /// Why it is neither asked nor changed; nil if it holds this repository, as far as is known.
    package var strangeness: HoldfastError? { if case .foreign(let error) = condition { error } else { nil } }

    /// The error that speaks against it being complete; nil if it is.
    package var problem: HoldfastError? {
        switch condition {
        case .behind(let error), .out(let error), .foreign(let error): error
        case .whole where outstanding > 0:
            HoldfastError(.timedOut, "it has not answered \(outstanding) calls yet")
        case .whole: nil
        }
    }

    package mutating func triedToRead(_ succeeded: Bool) { failedToRead = !succeeded }

    package mutating func ask() { outstanding += 1 }

    package mutating func answered() {
        outstanding -= 1
        if outstanding == 0 { isLate = false }
    }

    package mutating func stored(bytes: Int) {
        storedObjects += 1
        storedBytes += Int64(bytes)
    }

    package mutating func missedPut(_ error: HoldfastError) {
        if refusal == nil { condition = .out(error) }
    }

    package mutating func fallBehind(_ error: HoldfastError) {
        if isWhole { condition = .behind(error) }
    }

    /// It holds another repository.
    package mutating func exclude(_ error: HoldfastError) { condition = .foreign(error) }

    /// What it was compared with was another repository's.
    package mutating func compareAgain() {
        if case .behind = condition { condition = .whole }
    }

    /// It was given everything that another site has.
    package mutating func healed() {
        guard strangeness == nil else { return }
        condition = .whole
        failedToRead = false
    }

    /// Somebody stopped waiting for it.
    package mutating func wasNotWaitedFor() {
        if outstanding > 0 { isLate = true }
    }
}

/// Who is asked in one call.
package struct Participant: Sendable, Hashable {
    package let site: Int
    /// Whether the call waits for it after the quorum is met; not for a site that is late.
    package let isAwaited: Bool

    package init(site: Int, isAwaited: Bool) {
        self.site = site
        self.isAwaited = isAwaited
    }
}

/// All sites of a session: decides which of them take part in a call.
package struct Replication: Sendable {
    package private(set) var standings: [SiteStanding]
    package let quorum: Int
    /// How many unanswered calls a late site may have before it is given up; bounds the memory that it pins.
    package let lateLimit: Int

    package init(sites: Int, quorum: Int, lateLimit: Int) {
        self.standings = Array(repeating: SiteStanding(), count: sites)
        self.quorum = quorum
        self.lateLimit = lateLimit
    }

    /// Picks the sites for a put, and counts it as asked of them.
    ///
    /// A snapshot is not given to sites that lack parts of it, as long as there are enough that do not: every snapshot
    /// that a site lists should be restorable from it.
    ///
    /// - Returns: nil if fewer are left than the quorum.
    package mutating func admitPut(of kind: BlobKind) -> [Participant]? {
        for site in standings.indices where standings[site].isLate && standings[site].outstanding >= lateLimit {
            standings[site].missedPut(
                HoldfastError(.timedOut, "it is too slow: \(lateLimit) calls are waiting for an answer"))
        }
        var candidates = standings.indices.filter { standings[$0].refusal == nil }
        let whole = candidates.filter { standings[$0].isWhole }
        if kind == .snapshot && whole.count >= quorum { candidates = whole }
        guard candidates.count >= quorum else { return nil }
        return candidates.map { admit($0) }
    }

    /// Picks the sites for a question to all: those that are late are left out, so that they do not hold it up, and
    /// those that hold another repository.
    package mutating func admitQuestion() -> [Participant] {
        standings.indices.filter { !standings[$0].isLate && standings[$0].strangeness == nil }.map { admit($0) }
    }

    /// One site, whatever is known of it, counted as asked.
    package mutating func admit(only site: Int) -> Participant { admit(site) }

    /// Picks the sites that are whole, and not late: only they may lose what others have replaced. A late one keeps it,
    /// and is behind from then on.
    package mutating func admitWhole() -> [Participant] {
        let whole = standings.indices.filter { standings[$0].isWhole }
        for site in whole where standings[site].isLate {
            standings[site].fallBehind(
                HoldfastError(.timedOut, "it did not answer in time, and keeps what was to be deleted"))
        }
        return whole.filter { !standings[$0].isLate }.map { admit($0) }
    }

    /// Sites in the order in which to read from them: good ones first, those that may hang last, foreign ones never.
    package var readingOrder: [Int] {
        func rank(_ standing: SiteStanding) -> Int {
            if standing.isLate { return 4 }
            if standing.failedToRead { return 3 }
            return switch standing.condition {
            case .whole: 0
            case .behind: 1
            case .out, .foreign: 2
            }
        }
        return standings.indices.filter { standings[$0].strangeness == nil }
            .sorted { (rank(standings[$0]), $0) < (rank(standings[$1]), $1) }
    }

    /// The worst that is known against any site: what a call fails with when the quorum is not met.
    package var worstProblem: (site: Int, error: HoldfastError)? {
        let problems = standings.enumerated().compactMap { site, standing in standing.problem.map { (site, $0) } }
        let code: (HoldfastError.Code) -> (site: Int, error: HoldfastError)? = { code in
            problems.first { $0.1.code == code }.map { (site: $0.0, error: $0.1) }
        }
        return code(.conflict) ?? code(.noSpace) ?? problems.first.map { (site: $0.0, error: $0.1) }
    }

    /// Changes what is known of one site.
    package mutating func change(_ site: Int, _ body: (inout SiteStanding) -> Void) { body(&standings[site]) }

    private mutating func admit(_ site: Int) -> Participant {
        let isLate = standings[site].isLate
        standings[site].ask()
        return Participant(site: site, isAwaited: !isLate)
    }
}

/// The answers to one call, and whether they are enough.
package struct QuorumTally: Sendable {
    package enum Verdict: Sendable, Hashable {
        /// Too few successes yet, and enough sites that may still have one.
        case undecided
        /// Enough successes; sites that are worth a short wait have not answered.
        case stragglers
        /// Enough successes, and nobody to wait for.
        case met
        /// Enough successes cannot come any more.
        case unreachable
    }

    private let quorum: Int
    /// Participants without an answer.
    package private(set) var pending: Set<Participant>
    private var successes = 0

    package init(quorum: Int, participants: [Participant]) {
        self.quorum = quorum
        self.pending = Set(participants)
    }

    package mutating func answer(_ participant: Participant, isSuccess: Bool) {
        guard pending.remove(participant) != nil else { return }
        if isSuccess { successes += 1 }
    }

    package var verdict: Verdict {
        if successes >= quorum { return pending.contains { $0.isAwaited } ? .stragglers : .met }
        return successes + pending.count >= quorum ? .undecided : .unreachable
    }
}
