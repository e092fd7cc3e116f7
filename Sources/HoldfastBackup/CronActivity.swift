import Foundation
import HoldfastEnvironments
import HoldfastModel

/// Runs one cron of one app to its end.
struct CronActivity {
    let environment: Environment
    let app: String
    let cron: String
    let house: House
    let context: ActivityContext

    func run() throws {
        let outcome = try house.supervisors.client(environment.id).runCron(app: app, cron: cron)
        for line in outcome.output.split(separator: "\n", omittingEmptySubsequences: false) where !line.isEmpty {
            context.log(String(line))
        }
        guard outcome.status == 0 else {
            throw HoldfastError(
                .unavailable, "cron \(app).\(cron) ended with status \(outcome.status)",
                hint: "Look at its output in the activity's log")
        }
    }
}
