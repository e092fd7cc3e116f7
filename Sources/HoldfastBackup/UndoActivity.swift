import Foundation
import HoldfastEnvironments
import HoldfastModel

/// Puts back what ran before the last restore: a switch to data that is still there, so it takes seconds.
struct UndoActivity {
    let environment: Environment
    let house: House
    let context: ActivityContext

    func run() throws {
        let layout = house.layout(environment.id)
        guard let current = try layout.readCurrent(), let previous = try layout.readPrevious() else {
            throw HoldfastError(
                .conflict, "environment \(environment.name) has no state from before a restore",
                hint: "Restore one of its backups instead, see backup:list")
        }
        var back = previous
        back.generation = current.generation + 1
        back.switchedBy = context.activity.id
        let switcher = StateSwitch(environment: environment, layout: layout, house: house, context: context)
        let evidence = try switcher.perform(from: current, to: back, keepPrevious: true)
        context.log("Back to the state of generation \(previous.generation), " + evidence.summaryOfRequests)
        context.log("What the restore had brought is kept; run the undo again to return to it.")
    }
}
