import Foundation
import HoldfastEnvironments
import HoldfastModel

/// What a restore will do, before anything is touched.
struct RestorePlan: Sendable {
    enum ServiceFate: Sendable, Equatable {
        /// Its data comes from the backup.
        case restore(ServiceManifest)
        /// In the environment, not in the backup; kept as it is because the code stays.
        case keep
        /// In the environment, not in the restored code.
        case remove
    }

    let manifest: BackupManifest
    let restoreCode: Bool
    let services: [String: ServiceFate]
    /// App -> mount path -> what the backup holds of it.
    let mounts: [String: [String: MountManifest]]

    /// - Throws: `unsupported` if something in the backup cannot run on this machine, naming it.
    init(manifest: BackupManifest, current: CurrentState, restoreCode: Bool, house: House) throws {
        self.manifest = manifest
        self.restoreCode = restoreCode
        var services: [String: ServiceFate] = [:]
        for (name, service) in manifest.services {
            guard restoreCode || current.services[name] != nil else { continue }
            if !restoreCode, let now = current.services[name], now.type != service.type {
                throw HoldfastError(
                    .unsupported,
                    "service \(name) is \(now.type) now and was \(service.type) in backup \(manifest.backup)",
                    hint: "Restore with the code, which brings the service's type of that time")
            }
            _ = try house.types.resolve(try TypeReference(service.type))
            services[name] = .restore(service)
        }
        for name in current.services.keys where services[name] == nil {
            services[name] = restoreCode ? .remove : .keep
        }
        self.services = services
        if restoreCode {
            mounts = manifest.mounts
        } else {
            mounts = manifest.mounts.compactMapValues { $0 }.filter { current.mounts[$0.key] != nil }
                .reduce(into: [:]) { result, entry in
                    result[entry.key] = entry.value.filter { current.mounts[entry.key]?[$0.key] != nil }
                }
        }
    }

    /// What will change, for people.
    var lines: [String] {
        var lines = [
            "Restoring backup \(manifest.backup) of \(manifest.environmentName), "
                + (manifest.safe ? "consistent" : "live")
        ]
        lines.append(
            restoreCode
                ? "Code: commit \(manifest.deployment.commit.prefix(12)) as it was built" : "Code: stays as it is")
        for (name, fate) in services.sorted(by: { $0.key < $1.key }) {
            switch fate {
            case .restore(let service): lines.append("Service \(name): \(service.type) from the backup")
            case .keep: lines.append("Service \(name): not in the backup, kept as it is")
            case .remove: lines.append("Service \(name): not in the restored code, leaves")
            }
        }
        for (app, paths) in mounts.sorted(by: { $0.key < $1.key }) {
            for (path, mount) in paths.sorted(by: { $0.key < $1.key }) {
                lines.append("Mount \(app)/\(path): \(mount.files) files from the backup")
            }
        }
        return lines
    }
}
