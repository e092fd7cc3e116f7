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
    /// What is said before the question, line by line.
    var plan: [String] = []
    /// What to ask before; nil to ask nothing.
    var question: String?
    /// It destroys something, or changes what users of a production environment see.
    var isDangerous = false
    /// What is said after, such as `is active`.
    var outcome: String
    /// Whether to say then where the environment is reached.
    var showsAddress = false
    var body: API.ResourcesInput?

    func run(
        on environment: Resource<API.Environment>, in session: Session, _ confirm: ConfirmOptions, _ wait: WaitOptions
    ) async throws {
        let environment = try await session.offering(operation, environment, verb)
        for line in plan { session.output.error(line) }
        if let question { try confirm.ask(question, on: session.output, isDangerous: isDangerous) }
        guard let started = try await session.client.operate(operation, on: environment, body: body) else {
            throw await session.refusal(of: operation, environment, verb)
        }
        guard try await session.finish(started, wait) != nil else { return }
        session.output.error("Environment \(environment.value.name) \(outcome).")
        if showsAddress, let address = try await session.client.refreshed(environment).value.publicUrl {
            session.output.error("It is at \(address)")
        }
    }
}

extension Session {
    /// The environment as it is now, which offers the operation.
    ///
    /// - Parameter verb: as in `cannot back up environment 'main'`.
    /// - Throws: the refusal, before anybody is asked anything.
    func offering(
        _ operation: String, _ environment: Resource<API.Environment>, _ verb: String
    ) async throws -> Resource<API.Environment> {
        if environment.offers(operation) { return environment }
        let current = try await client.refreshed(environment)
        guard current.offers(operation) else { throw await refusal(of: operation, current, verb) }
        return current
    }

    /// Why an operation is not offered, in the server's words if it says so.
    func refusal(
        of operation: String, _ environment: Resource<API.Environment>, _ verb: String
    ) async -> any Error {
        let start = "cannot \(verb) environment '\(environment.value.name)'"
        do {
            try await client.ask(operation, of: environment)
            return HoldfastError(
                .conflict, "\(start): its state has just changed", hint: "Try again, it would be let in now")
        } catch let error as HoldfastError where error.code != .notFound {
            return HoldfastError(error.code, "\(start): \(error.message)", hint: error.hint, cause: error.cause)
        } catch {
            // A server that cannot be asked.
            return Refusal.of(start, environment.value)
        }
    }
}

/// Says why an operation is not offered, as far as the environment itself tells.
enum Refusal {
    /// - Parameter start: as in `cannot back up environment 'main'`.
    static func of(_ start: String, _ environment: API.Environment) -> CommandFailure {
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
                    .conflict, "\(start): its state or your role does not allow it",
                    hint: "Look at `holdfast environment:info -e \(environment.name)`")
            }
        return CommandFailure(.failure, error)
    }
}
