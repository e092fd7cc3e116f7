import Foundation
import HoldfastBackup
import HoldfastCatalogue
import HoldfastControl
import HoldfastEnvironments
import HoldfastGateway
import HoldfastModel
import HoldfastNotifications
import HoldfastScheduler
import Logging

/// What runs inside `holdfast serve` beside the API.
final class Parts: Sendable {
    let catalogue: Catalogue
    let operations: HouseOperations
    private let house: House
    private let runner: ActivityRunner
    private let crons: CronTicker
    private let watch: ProcessWatch
    let scheduler: Scheduler
    let notifier: Notifier
    let metricsTokenFile: String?
    private let pushes: ControlServer

    init(
        catalogue: Catalogue, house: House, launcher: Launcher, listen: Assembly.Listen, home: StateDirectory,
        settings: Settings
    ) throws {
        self.catalogue = catalogue
        let clocks = ClockWatch(
            time: house.time, memory: ClockFile(home: home), logger: Logger(label: "holdfast.clock"))
        var house = house
        house.clocks = clocks
        house.appliesPolicies = listen.schedules
        self.house = house
        let runner = ActivityRunner(
            catalogue: catalogue, performer: HousePerformer(house: house), time: house.time,
            logger: Logger(label: "holdfast.activities"))
        let desk = ActivityDesk(catalogue: catalogue, time: house.time, clocks: clocks) { runner.wake() }
        let hooks = PushHooks(home: home)
        self.runner = runner
        metricsTokenFile = settings.metricsTokenFile
        operations = HouseOperations(
            catalogue: catalogue, desk: desk, runner: runner, house: house, home: home, hooks: hooks,
            publicURL: settings.url)
        var limits = SchedulerLimits()
        limits.drillEvery = settings.drillDays.map { $0 * 86_400 }
        let scheduler = Scheduler(
            catalogue: catalogue, desk: desk, time: house.time, grace: house.deletionGrace, clocks: clocks,
            limits: limits, logger: Logger(label: "holdfast.scheduler"))
        self.scheduler = scheduler
        notifier = Notifier(
            catalogue: catalogue, channels: settings.notifications ?? [], time: house.time,
            clockError: { scheduler.clockError }, logger: Logger(label: "holdfast.notifications"))
        crons = CronTicker(house: house, desk: desk, maximumJitter: settings.cronJitterSeconds)
        watch = ProcessWatch(house: house, launcher: launcher, gatewayListen: listen.gateway)
        let receiver = PushReceiver(catalogue: catalogue, desk: desk, home: home, time: house.time)
        pushes = ControlServer(path: "\(home.run)/serve.sock") { PushSession(receiver: receiver) }
        try watch.startEnvironments()
        // First what was open: where the gateway leads to says how far an interrupted switch had come.
        try runner.start()
        try house.supervisors.publishRoutes()
        try operations.finishProjects()
        // What a crash kept from the sites, and what an older version never wrote.
        for project in try catalogue.projects() { house.noteFacts(of: project.id) }
        try receiver.catchUp()
        try pushes.start()
        crons.start()
        watch.start()
    }

    /// Nothing new begins. Environments and gateway go on, unless everything is to stop.
    func stop(everything: Bool, launcher: Launcher) {
        pushes.stop()
        crons.stop()
        watch.stop()
        runner.stop()
        for _ in 0..<100 where runner.runningCount > 0 { Thread.sleep(forTimeInterval: 0.1) }
        if everything {
            for environment in (try? catalogue.allEnvironments()) ?? [] where environment.status == .active {
                try? house.supervisors.stop(environment.id)
            }
            launcher.stopGateway()
        }
        try? catalogue.close()
    }
}

/// Starts again what died: the gateway, and the supervisors of active environments.
final class ProcessWatch: Sendable {
    private let house: House
    private let launcher: Launcher
    private let gatewayListen: String
    private let stopped = AtomicFlag()
    private let logger = Logger(label: "holdfast.watch")

    init(house: House, launcher: Launcher, gatewayListen: String) {
        self.house = house
        self.launcher = launcher
        self.gatewayListen = gatewayListen
    }

    /// What was active when the control plane stopped runs again; one that does not start is reported, not fatal.
    func startEnvironments() throws {
        for environment in try house.catalogue.allEnvironments() where environment.status == .active {
            do {
                try launcher.ensureSupervisor(environment.id) { [house] in
                    (try? house.catalogue.environment(environment.id))?.status == .active
                }
            } catch let error as HoldfastError where error.code == .conflict {
                // It was stopped since we looked.
                continue
            } catch {
                logger.error(
                    "an environment does not start",
                    metadata: ["environment": "\(environment.id)", "error": "\(error)"])
            }
        }
    }

    func start() {
        let thread = Thread { [self] in
            while !stopped.isSet {
                Thread.sleep(forTimeInterval: 1)
                if !stopped.isSet { look() }
            }
        }
        thread.name = "watch"
        thread.start()
    }

    func stop() { stopped.set() }

    private func look() {
        do {
            try launcher.ensureGateway(listen: gatewayListen)
            try startEnvironments()
        } catch {
            logger.error("a process does not start", metadata: ["error": "\(error)"])
        }
    }
}
