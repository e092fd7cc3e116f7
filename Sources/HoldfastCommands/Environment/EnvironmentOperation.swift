import ArgumentParser
import HoldfastAPI
import HoldfastClient
import HoldfastModel

/// What all verbs have in common that run one operation of an environment.
struct EnvironmentOperation {
    /// The relation without `#`, such as `redeploy`.
    var operation: String
    /// As in `cannot redeploy environment 'main'`.
    var verb: String
    /// What to ask before; nil to ask nothing.
    var question: String?
    /// What is said after, such as `is active`.
    var outcome: String
    var body: API.ResourcesInput?

    func run(
        on environment: Resource<API.Environment>, in session: Session, _ confirm: ConfirmOptions, _ wait: WaitOptions
    ) async throws {
        guard environment.offers(operation) else {
            let current = try await session.client.refreshed(environment)
            guard current.offers(operation) else { throw Refusal.of(verb, current.value) }
            return try await run(on: current, in: session, confirm, wait)
        }
        if let question { try confirm.ask(question, on: session.output) }
        guard let started = try await session.client.operate(operation, on: environment, body: body) else {
            throw Refusal.of(verb, environment.value)
        }
        guard try await session.finish(started, wait) != nil else { return }
        session.output.error("Environment \(environment.value.name) \(outcome).")
    }
}

/// Says why an operation is not offered: nobody may do it now, or not this caller.
enum Refusal {
    /// - Parameter verb: as in `cannot back up environment 'main'`.
    static func of(_ verb: String, _ environment: API.Environment) -> CommandFailure {
        let start = "cannot \(verb) environment '\(environment.name)'"
        let error =
            switch environment.status {
            case _ where environment.isDirty:
                HoldfastError(
                    .conflict, "\(start): an activity that changes it is pending or in progress",
                    hint: "Wait for it; `holdfast activity:list --incomplete -e \(environment.name)` shows it")
            case "inactive":
                HoldfastError(
                    .conflict, "\(start): it is not active",
                    hint: "Activate it with `holdfast environment:activate -e \(environment.name)`")
            case "paused":
                HoldfastError(
                    .conflict, "\(start): it is paused",
                    hint: "Resume it with `holdfast environment:resume -e \(environment.name)`")
            case "deleting":
                HoldfastError(.conflict, "\(start): it is being deleted")
            default:
                HoldfastError(
                    .forbidden, "\(start): its state or your role does not allow it",
                    hint: "Ask for the admin role on environments of type '\(environment.type)'")
            }
        return CommandFailure(.failure, error)
    }
}
