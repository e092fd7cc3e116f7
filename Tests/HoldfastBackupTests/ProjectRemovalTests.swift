import Foundation
import HoldfastBackup
import HoldfastEnvironments
import HoldfastModel
import HoldfastRepository
import Testing

@Suite struct ProjectRemovalTests {
    /// Writes down what is asked, and which environments were active when routes were published.
    private struct TracedSupervisors: Supervisors {
        let trace: Trace
        let catalogue: MemoryCatalogue
        var stopFailsFor: EnvironmentID?

        func client(_ environment: EnvironmentID) throws -> SupervisorClient {
            trace.add("start \(environment)")
            return SupervisorClient(socketPath: "/nowhere/\(environment)")
        }
        func stop(_ environment: EnvironmentID) throws {
            trace.add("stop \(environment)")
            if environment == stopFailsFor { throw HoldfastError(.timedOut, "it does not end") }
        }
        func publishRoutes(beside: [EnvironmentID: [String: Int]]) throws {
            let active = try catalogue.allEnvironments().filter { $0.status == .active }.map(\.id.rawValue).sorted()
            trace.add("routes \(active.joined(separator: " "))")
        }
        func routedPorts(_ environment: EnvironmentID) throws -> Set<Int> { [] }
        func strangers(of environment: EnvironmentID?) -> [String] { [] }
    }

    private struct Bench {
        let catalogue = MemoryCatalogue()
        let trace = Trace()
        let project = ProjectID.random()
        let main = EnvironmentID.random()
        let paused = EnvironmentID.random()
        let off = EnvironmentID.random()

        init() throws {
            let all: [(EnvironmentID, String, EnvironmentStatus)] = [
                (main, "main", .active), (paused, "paused", .paused), (off, "off", .inactive),
            ]
            for (id, name, status) in all {
                try catalogue.createEnvironment(
                    Environment(
                        id: id, project: project, name: name, type: .development, status: status,
                        createdAt: Date(timeIntervalSince1970: 1)))
            }
        }

        func removal(stopFailsFor: EnvironmentID? = nil) throws -> ProjectRemoval {
            let supervisors = TracedSupervisors(trace: trace, catalogue: catalogue, stopFailsFor: stopFailsFor)
            return ProjectRemoval(
                house: House(
                    home: "/nowhere", run: "/nowhere/run", catalogue: catalogue, gate: ScriptedGate(trace: trace),
                    runtime: (ScriptedFreezer(trace: trace), supervisors),
                    repositories: ProjectRepositories(
                        sites: [], quorum: 1, masterKey: try InstallationKey(text: InstallationKey.makeText()),
                        catalogue: catalogue)))
        }

        func statuses() throws -> [EnvironmentStatus] {
            try [main, paused, off].map { try catalogue.environment($0).status }
        }
    }

    @Test func `environments are stopped and without routes before their project is forgotten`() throws {
        let bench = try Bench()
        let gone = try bench.removal().stop(bench.project) {
            let statuses = try bench.statuses()
            #expect(statuses == [.inactive, .inactive, .inactive])
            bench.trace.add("forgotten")
        }
        #expect(Set(gone.map(\.id)) == [bench.main, bench.paused, bench.off])
        let all = bench.trace.all
        #expect(all.first == "routes " && all.last == "forgotten", "\(all)")
        #expect(Set(all.dropFirst().dropLast()) == ["stop \(bench.main)", "stop \(bench.paused)"])
    }

    @Test func `a conflict that comes in between leaves statuses, processes and routes as they were`() throws {
        let bench = try Bench()
        let error = #expect(throws: HoldfastError.self) {
            try bench.removal().stop(bench.project) {
                bench.trace.add("refused")
                throw HoldfastError(.conflict, "a backup has begun")
            }
        }
        #expect(error?.code == .conflict)
        #expect(try bench.statuses() == [.active, .paused, .inactive])
        let after = bench.trace.all.drop { $0 != "refused" }.dropFirst()
        // The paused one had no processes.
        #expect(Array(after) == ["start \(bench.main)", "routes \(bench.main)"])
    }

    @Test func `an environment that cannot be stopped keeps the project, and the others run again`() throws {
        let bench = try Bench()
        let error = #expect(throws: HoldfastError.self) {
            try bench.removal(stopFailsFor: bench.paused).stop(bench.project) { bench.trace.add("forgotten") }
        }
        #expect(error?.code == .timedOut)
        #expect(bench.trace.count("forgotten") == 0)
        #expect(try bench.statuses() == [.active, .paused, .inactive])
        let after = bench.trace.all.drop { $0 != "stop \(bench.paused)" }.dropFirst()
        #expect(after.contains("start \(bench.main)"), "\(bench.trace.all)")
        #expect(bench.trace.all.last == "routes \(bench.main)")
    }
}
