import Foundation
import HoldfastModel

/// How one thing is that could be wrong.
enum AlarmState: Sendable, Hashable {
    /// It is wrong.
    case wrong(Cause)
    /// It is well.
    case well(String)
    /// It cannot be said now: nobody is told anything.
    case unknown

    struct Cause: Sendable, Hashable {
        var since: Date
        /// One sentence without a full stop.
        var text: String
        var activity: ActivityID?
    }
}

/// One thing that could be wrong.
struct AlarmSubject: Sendable, Hashable {
    var kind: Notice.Kind
    var project: Project?
    var environment: Environment?

    var key: String { "\(kind.rawValue) \(environment?.id.rawValue ?? project?.id.rawValue ?? "installation")" }
}

/// Decides what a channel is to be told: each change once.
struct AlarmBook {
    /// How everything is that could be wrong now.
    let states: [(subject: AlarmSubject, state: AlarmState)]
    let at: Date

    /// - Parameters:
    ///   - told: what the channel was told before and is not over.
    ///   - makeID: a new id at each call.
    func news(for channel: String, told: [ToldAlarm], makeID: () -> String) -> [ToldAlarm] {
        let before = Dictionary(told.filter { $0.channel == channel }.map { ($0.key, $0) }) { first, _ in first }
        var news: [ToldAlarm] = []
        for (subject, state) in states {
            switch (state, before[subject.key]) {
            case (.wrong(let cause), nil):
                var notice = Notice(
                    id: makeID(), kind: subject.kind, change: .raised, at: at, since: cause.since, text: cause.text)
                notice.project = subject.project?.id
                notice.projectTitle = subject.project?.title
                notice.environment = subject.environment?.id
                notice.environmentName = subject.environment?.name
                notice.activity = cause.activity
                news.append(ToldAlarm(channel: channel, key: subject.key, notice: notice))
            case (.well(let text), let alarm?):
                news.append(over(alarm, .recovered, text, id: makeID()))
            case (.wrong, _?), (.well, nil), (.unknown, _): continue
            }
        }
        let subjects = Set(states.map(\.subject.key))
        for (key, alarm) in before.sorted(by: { $0.key < $1.key }) where !subjects.contains(key) {
            news.append(over(alarm, .ended, "\(alarm.notice.place) is not there or not active any more", id: makeID()))
        }
        return news
    }

    private func over(_ alarm: ToldAlarm, _ change: Notice.Change, _ text: String, id: String) -> ToldAlarm {
        var notice = Notice(
            id: id, kind: alarm.notice.kind, change: change, at: at, since: alarm.notice.since, text: text)
        notice.project = alarm.notice.project
        notice.projectTitle = alarm.notice.projectTitle
        notice.environment = alarm.notice.environment
        notice.environmentName = alarm.notice.environmentName
        return ToldAlarm(channel: alarm.channel, key: alarm.key, notice: notice)
    }
}

extension Notice {
    /// What it is about, for people: `Ledger, main`.
    var place: String {
        let parts = [projectTitle, environmentName].compactMap { $0 }
        return parts.isEmpty ? "the installation" : parts.joined(separator: ", ")
    }
}
