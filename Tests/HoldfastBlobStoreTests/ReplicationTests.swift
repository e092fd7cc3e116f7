import HoldfastBlobStore
import HoldfastModel
import Testing

/// The decisions of replication, without threads, clocks and disks.
@Suite struct ReplicationTests {
    private let error = HoldfastError(.unavailable, "away")
    private let full = HoldfastError(.noSpace, "full")

    private func everybody(_ count: Int) -> [Participant] {
        (0..<count).map { Participant(site: $0, isAwaited: true) }
    }

    @Test func `the quorum is met as soon as enough succeed, and the rest are stragglers`() {
        let sites = everybody(3)
        var tally = QuorumTally(quorum: 2, participants: sites)
        #expect(tally.verdict == .undecided)
        tally.answer(sites[2], isSuccess: true)
        #expect(tally.verdict == .undecided)
        tally.answer(sites[0], isSuccess: true)
        #expect(tally.verdict == .stragglers)
        tally.answer(sites[1], isSuccess: false)
        #expect(tally.verdict == .met)
    }

    @Test func `a late site is not waited for, and still counts while the quorum needs it`() {
        let sites = [Participant(site: 0, isAwaited: true), Participant(site: 1, isAwaited: false)]
        var tally = QuorumTally(quorum: 1, participants: sites)
        tally.answer(sites[0], isSuccess: true)
        #expect(tally.verdict == .met)

        tally = QuorumTally(quorum: 1, participants: sites)
        tally.answer(sites[0], isSuccess: false)
        #expect(tally.verdict == .undecided)
        tally.answer(sites[1], isSuccess: true)
        #expect(tally.verdict == .met)
    }

    @Test func `too many failures end the call at once, and no site answers twice`() {
        let sites = everybody(3)
        var tally = QuorumTally(quorum: 2, participants: sites)
        tally.answer(sites[0], isSuccess: true)
        tally.answer(sites[0], isSuccess: true)
        #expect(tally.verdict == .undecided)
        tally.answer(sites[1], isSuccess: false)
        #expect(tally.verdict == .undecided)
        tally.answer(sites[2], isSuccess: false)
        #expect(tally.verdict == .unreachable)
    }

    @Test func `a site that missed a put is out for good`() {
        var replication = Replication(sites: 3, quorum: 2, lateLimit: 4)
        replication.change(1) { $0.missedPut(full) }
        replication.change(1) { $0.fallBehind(error) }
        #expect(replication.admitPut(of: .data)?.map(\.site) == [0, 2])
        #expect(replication.standings[1].refusal?.code == .noSpace)
        replication.change(0) { $0.missedPut(error) }
        #expect(replication.admitPut(of: .data) == nil)
        #expect(replication.worstProblem?.site == 1)
        #expect(replication.admitQuestion().map(\.site) == [0, 1, 2])
    }

    @Test func `a call that is not admitted is asked of nobody`() {
        var replication = Replication(sites: 2, quorum: 2, lateLimit: 4)
        replication.change(0) { $0.missedPut(error) }
        #expect(replication.admitPut(of: .data) == nil)
        #expect(replication.standings[1].outstanding == 0)
    }

    @Test func `a snapshot goes to whole sites only, as long as they are enough`() {
        var replication = Replication(sites: 3, quorum: 2, lateLimit: 4)
        replication.change(0) { $0.fallBehind(error) }
        #expect(replication.admitPut(of: .index)?.map(\.site) == [0, 1, 2])
        #expect(replication.admitPut(of: .snapshot)?.map(\.site) == [1, 2])
        replication.change(1) { $0.fallBehind(error) }
        #expect(replication.admitPut(of: .snapshot)?.map(\.site) == [0, 1, 2])
    }

    @Test func `a late site is not awaited until it has answered everything, and is given up at the limit`() {
        var replication = Replication(sites: 2, quorum: 1, lateLimit: 2)
        _ = replication.admitPut(of: .data)
        replication.change(0) { $0.answered() }
        replication.change(1) { $0.wasNotWaitedFor() }
        #expect(
            replication.admitPut(of: .data) == [
                Participant(site: 0, isAwaited: true), Participant(site: 1, isAwaited: false),
            ])
        #expect(replication.admitQuestion().map(\.site) == [0])
        replication.change(1) { $0.answered() }
        #expect(replication.standings[1].isLate)
        replication.change(1) { $0.answered() }
        #expect(!replication.standings[1].isLate)
        #expect(replication.standings[1].problem == nil)

        _ = replication.admitPut(of: .data)
        _ = replication.admitPut(of: .data)
        replication.change(1) { $0.wasNotWaitedFor() }
        #expect(replication.admitPut(of: .data)?.map(\.site) == [0])
        #expect(replication.standings[1].refusal?.code == .timedOut)
    }

    @Test func `a site that is late for a deletion keeps what was deleted, and is behind`() {
        var replication = Replication(sites: 3, quorum: 1, lateLimit: 2)
        replication.change(1) {
            $0.ask()
            $0.wasNotWaitedFor()
        }
        replication.change(2) { $0.fallBehind(error) }
        #expect(replication.admitWhole().map(\.site) == [0])
        replication.change(1) { $0.answered() }
        #expect(replication.standings[1].problem?.code == .timedOut)
        #expect(replication.admitWhole().map(\.site) == [0])
    }

    @Test func `reads go to whole sites first, then to those behind, out, failing and late`() {
        var replication = Replication(sites: 5, quorum: 1, lateLimit: 2)
        replication.change(0) {
            $0.ask()
            $0.wasNotWaitedFor()
        }
        replication.change(1) { $0.missedPut(error) }
        replication.change(2) { $0.fallBehind(error) }
        replication.change(3) { $0.triedToRead(false) }
        #expect(replication.readingOrder == [4, 2, 1, 3, 0])
        replication.change(3) { $0.triedToRead(true) }
        #expect(replication.readingOrder == [3, 4, 2, 1, 0])
    }

    @Test func `a full disk is the worst that is told, before a site that is away`() {
        var replication = Replication(sites: 3, quorum: 1, lateLimit: 2)
        #expect(replication.worstProblem == nil)
        replication.change(0) { $0.missedPut(error) }
        replication.change(2) { $0.missedPut(full) }
        #expect(replication.worstProblem?.site == 2)
    }
}
