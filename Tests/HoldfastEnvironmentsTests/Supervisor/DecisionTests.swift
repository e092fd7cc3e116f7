import Foundation
import HoldfastEnvironments
import HoldfastModel
import Testing

struct FreezeStateTests {
    private static let second: UInt64 = 1_000_000_000

    @Test func `a hold goes from open to frozen and ends once`() throws {
        var state = FreezeState()
        let hold = try state.begin(now: 0, lease: Self.second)
        #expect(state.isOpen && !state.isStopping)
        try state.startFreezing(hold, now: 1)
        #expect(state.isStopping)
        try state.completeFreezing(hold, now: 2)
        #expect(state.phase == .frozen)
        let ends = [state.end(hold), state.end(hold)]
        #expect(ends == [true, false])
        #expect(state.phase == .idle)
    }

    @Test func `a second hold is refused while one is open, and old ones have no say`() throws {
        var state = FreezeState()
        let first = try state.begin(now: 0, lease: Self.second)
        #expect(#expect(throws: HoldfastError.self) { try state.begin(now: 1, lease: 1) }?.code == .conflict)
        _ = state.end(first)
        let second = try state.begin(now: 2, lease: Self.second)
        #expect(second != first)
        let endedAgain = state.end(first)
        #expect(!endedAgain)
        #expect(throws: HoldfastError.self) { try state.renew(first, now: 3) }
        #expect(throws: HoldfastError.self) { try state.startFreezing(first, now: 3) }
        #expect(state.isOpen)
    }

    @Test func `a lease that nobody renews runs out, and what comes later fails`() throws {
        var state = FreezeState()
        let hold = try state.begin(now: 0, lease: Self.second)
        try state.renew(hold, now: Self.second / 2)
        #expect(state.expired(now: Self.second + 1) == nil)
        #expect(state.expired(now: Self.second * 3 / 2) == hold)
        #expect(throws: HoldfastError.self) { try state.renew(hold, now: Self.second * 3 / 2) }
        #expect(throws: HoldfastError.self) { try state.startFreezing(hold, now: Self.second * 2) }
    }

    @Test func `a freeze that was thawed meanwhile cannot be completed`() throws {
        var state = FreezeState()
        let hold = try state.begin(now: 0, lease: Self.second)
        try state.startFreezing(hold, now: 1)
        _ = state.end(hold)
        #expect(throws: HoldfastError.self) { try state.completeFreezing(hold, now: 2) }
        #expect(state.phase == .idle)
    }
}

struct BackoffTests {
    @Test func `pauses double up to the longest and begin anew after a good run`() {
        var limits = Backoff.Limits()
        (limits.first, limits.longest, limits.settled) = (100, 1000, 5000)
        var backoff = Backoff(limits)
        let pauses = (0..<6).map { _ in backoff.pause(after: 10) }
        #expect(pauses == [100, 200, 400, 800, 1000, 1000].map { Duration.milliseconds($0) })
        let later = [4999, 5000, 0].map { backoff.pause(after: $0) }
        #expect(later == [.milliseconds(1000), .milliseconds(100), .milliseconds(200)])
    }
}

struct ApplyPlanTests {
    private func record(_ key: String, _ kind: SupervisedProcess.Kind, _ fingerprint: String = "1") -> ProcessRecord {
        let app = kind == .service ? nil : "ledger"
        return ProcessRecord(key: key, kind: kind, app: app, name: key, fingerprint: fingerprint)
    }

    private func plan(
        _ desired: [ProcessRecord], _ running: [ProcessRecord], keepsAside: Bool = false
    ) -> ApplyPlan {
        ApplyPlan(desired: desired, running: running.map { ApplyPlan.Running(record: $0) }, keepsAside: keepsAside)
    }

    @Test func `what is the same is kept, services start first and stop last`() {
        let old = [
            record("s1", .service), record("web", .web), record("work", .worker), record("cron", .cron),
        ]
        let new = [record("work", .worker, "2"), record("web", .web, "2"), record("s2", .service)]
        let plan = plan(new, old)
        #expect(plan.keep.isEmpty)
        #expect(plan.stop == ["cron", "work", "web", "s1"])
        #expect(plan.start.map(\.key) == ["s2", "web", "work"])
    }

    @Test func `nothing happens when nothing changed`() {
        let all = [record("s1", .service), record("web", .web), record("work", .worker)]
        let plan = plan(all, all + [record("cron", .cron)])
        #expect(plan.stop.isEmpty && plan.start.isEmpty)
        #expect(plan.keep.count == 3)
    }

    @Test func `what has ended is started again`() {
        let web = record("web", .web)
        let plan = ApplyPlan(
            desired: [web], running: [ApplyPlan.Running(record: web, hasEnded: true)], keepsAside: false)
        #expect(plan.start == [web])
        #expect(plan.stop.isEmpty)
    }

    @Test func `what ends again and again is not taken for running`() {
        let web = record("web", .web)
        let plan = ApplyPlan(
            desired: [web], running: [ApplyPlan.Running(record: web, isFailing: true)], keepsAside: false)
        #expect(plan.stop == ["web"])
        #expect(plan.start == [web])
    }

    @Test func `a service that was started aside becomes live, one that nobody wants stays only at the start`() {
        var aside = record("s2", .service)
        aside.isAside = true
        #expect(plan([record("s2", .service)], [aside]).keep.map(\.key) == ["s2"])
        #expect(plan([], [aside]).stop == ["s2"])
        #expect(plan([], [aside], keepsAside: true).stop.isEmpty)
    }

    @Test func `a cron of an app that goes is stopped with it`() {
        #expect(plan([], [record("cron", .cron)]).stop == ["cron"])
    }
}

struct CgroupTests {
    @Test func `hierarchies are found in the list of mounts`() {
        let hybrid = """
            30 25 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755
            31 30 0:27 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
            33 30 0:29 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
            34 30 0:30 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct
            """
        #expect(CgroupTree.mountPoint(of: .cgroup2, in: hybrid) == "/sys/fs/cgroup/unified")
        #expect(CgroupTree.mountPoint(of: .cgroup1, in: hybrid) == "/sys/fs/cgroup/freezer")
        let unified = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
        #expect(CgroupTree.mountPoint(of: .cgroup2, in: unified) == "/sys/fs/cgroup")
        #expect(CgroupTree.mountPoint(of: .cgroup1, in: unified) == nil)
        #expect(CgroupTree.mountPoint(of: .cgroup2, in: "") == nil)
    }
}
