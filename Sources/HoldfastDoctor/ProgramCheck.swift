import Foundation
import HoldfastEnvironments
import HoldfastModel

/// Programs that Holdfast, and the environments that run, need on this machine.
package struct ProgramCheck: Sendable {
    let facts: InstallationFacts
    let installed: InstalledTypes
    /// Folders where programs are looked for, with colons between.
    let path: String

    package init(
        _ facts: InstallationFacts, installed: InstalledTypes = InstalledTypes(),
        path: String = InstalledTypes.systemPath
    ) {
        self.facts = facts
        self.installed = installed
        self.path = path
    }

    package func findings() -> [Finding] {
        var found: [Finding] = []
        for (program, source) in [("git", "git"), ("useradd", "passwd")] where !isThere(program) {
            if program == "useradd", geteuid() != 0 { continue }
            found.append(
                .wrong("programs", "\(program) is not installed", "Run apt-get install \(source) as root"))
        }
        for environment in facts.environments where environment.status == .active {
            let layout = EnvironmentLayout(home: facts.home, run: facts.run, environment: environment.id)
            do {
                guard let current = try layout.readCurrent() else { continue }
                _ = try EnvironmentConfiguration.parse(current.deployment.configuration).resolveTypes(installed)
            } catch {
                let finding = Finding.wrong("programs", error, "Install what it names")
                found.append(.wrong("programs", "\(facts.name(environment)): \(finding.what)", finding.advice ?? ""))
            }
        }
        return found.orGood("programs", "all programs that are needed are installed")
    }

    private func isThere(_ program: String) -> Bool {
        path.split(separator: ":").contains { access("\($0)/\(program)", X_OK) == 0 }
    }
}
