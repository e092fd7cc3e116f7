import Foundation
import HoldfastBackup
import HoldfastCatalogue
import HoldfastDoctor
import HoldfastEnvironments
import HoldfastModel
import HoldfastNotifications
import HoldfastRepository
import HoldfastRetention

/// Puts the checks of `holdfast doctor` together. Nothing is made and nothing is changed.
struct Examination {
    let home: StateDirectory
    let time: any TimeSource

    func findings() -> [Finding] {
        var found = HomeCheck(home: home.path).findings()
        guard FileManager.default.fileExists(atPath: home.path) else { return found }
        let (settings, problem) = readSettings()
        if let problem { found.append(problem) }
        let (key, keyFinding) = readKey()
        found.append(keyFinding)
        let (catalogueFindings, inspection) = CatalogueCheck(path: home.catalogue).findings()
        found += catalogueFindings
        let jumped = ClockFile(home: home).load().flatMap { clocks in
            var clocks = clocks
            let counting = Int(time.elapsedNanoseconds() / 1_000_000_000)
            return clocks.check(wall: Int(time.now().timeIntervalSince1970), counting: counting)
        }
        found += ClockCheck(now: time.now(), newestRecord: inspection?.newestRecord, jumped: jumped).findings()
        found += FreezerCheck().findings()
        guard let settings else { return found }
        found += settingsFindings(settings)
        var largest: UInt64 = 0
        if let key, let inspection, inspection.schema == .current, inspection.problems.isEmpty {
            do { (found, largest) = try examine(settings, key, found) } catch {
                found.append(.wrong("catalogue", error, "Look at the log of serve"))
            }
        }
        found.append(
            DiskCheck().finding("the state directory", home.path, DiskCheck.Room(at: home.path), largest: largest))
        for site in settings.sites {
            found.append(DiskCheck().finding("site \(site.name)", site.path, DiskCheck.Room(at: site.path)))
        }
        return found
    }

    /// What needs the catalogue and the key.
    private func examine(
        _ settings: Settings, _ key: InstallationKey, _ before: [Finding]
    ) throws -> ([Finding], UInt64) {
        let catalogue = try Catalogue(path: home.catalogue, time: time)
        defer { try? catalogue.close() }
        let repositories = ProjectRepositories(
            sites: settings.sites, quorum: settings.quorum, masterKey: key, catalogue: catalogue)
        let facts = try InstallationFacts(
            catalogue: catalogue, repositories: repositories, home: home.path, run: home.run, time: time)
        var found = before + SiteCheck(facts).findings()
        found += ProcessCheck(facts, gatewaySocket: home.gatewaySocket).findings()
        found += ProgramCheck(facts).findings()
        found += BackupCheck(facts).findings()
        found += try undelivered(catalogue)
        return (found, try facts.largestBackup())
    }

    private func readSettings() -> (Settings?, Finding?) {
        guard FileManager.default.fileExists(atPath: home.settings) else {
            return (nil, .wrong("settings", "there is no \(home.settings)", "Start holdfast serve, which writes it"))
        }
        do { return (try Settings.load(home), nil) } catch {
            return (nil, .wrong("settings", error, "Correct \(home.settings)"))
        }
    }

    private func readKey() -> (InstallationKey?, Finding) {
        let advice = "Put it back from the recovery kit: without it no backup can be read"
        do {
            guard let bytes = try DurableFile.read(home.masterKey) else {
                return (nil, .wrong("keys", "there is no master key \(home.masterKey)", advice))
            }
            let key = try InstallationKey(text: Secret(String(decoding: bytes, as: UTF8.self)))
            return (key, .good("keys", "the master key can be read"))
        } catch {
            return (nil, .wrong("keys", error, advice))
        }
    }

    private func settingsFindings(_ settings: Settings) -> [Finding] {
        var found: [Finding] = []
        let advice = "Run holdfast recovery-kit, and keep the kit away from the sites"
        if let record = KitRecord.read(home) {
            found.append(
                record.sites == KitRecord.places(settings)
                    ? .good("recovery kit", "one was saved at \(record.createdAt.formatted(.iso8601))")
                    : .wrong("recovery kit", "the sites have changed since it was saved", advice))
        } else {
            found.append(.wrong("recovery kit", "none was ever saved", advice))
        }
        let channels = settings.notifications ?? []
        if channels.isEmpty {
            found.append(
                .note("notifications", "nobody is told what goes wrong", "Set notifications in settings.json"))
        }
        for file in channels.flatMap(\.secretFiles) + [settings.metricsTokenFile].compactMap({ $0 }) {
            found += SecretFileCheck(path: file).findings()
        }
        return found
    }

    private func undelivered(_ catalogue: Catalogue) throws -> [Finding] {
        let waiting = try catalogue.waitingNotices()
        return try catalogue.nextNotices().filter { $0.attempts > 0 }.map { notice in
            .wrong(
                "notifications",
                "\(waiting[notice.channel] ?? 1) notices wait for channel '\(notice.channel)': "
                    + (notice.problem ?? "it cannot be reached"), "Correct the channel, then run holdfast notify:test")
        }
    }
}
