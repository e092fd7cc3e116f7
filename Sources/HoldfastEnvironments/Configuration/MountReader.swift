import Foundation
import HoldfastModel

/// Reads `mounts` of one app, and refuses paths that leave the app or get into each other's way.
struct MountReader {
    let problems: ConfigurationProblems

    private struct Found {
        let path: String
        let mount: MountConfiguration
        let cursor: ConfigurationCursor
    }

    func read(_ cursor: ConfigurationCursor) -> [String: MountConfiguration] {
        var found: [Found] = []
        for (key, cursor) in cursor.entries(expected: "a map of mounts by path") {
            guard let path = checkedPath(key, cursor), let mount = readMount(path, cursor) else { continue }
            found.append(Found(path: path, mount: mount, cursor: cursor))
        }
        var mounts: [String: MountConfiguration] = [:]
        found.sort { $0.path < $1.path }
        for (index, one) in found.enumerated() {
            let others = found[..<index]
            if others.contains(where: { isRedundant(one, within: $0) }) {
                problems.warn(
                    line: one.cursor.line, "\(one.cursor.path) has no effect: it lies in another mount already")
                continue
            }
            if let other = others.first(where: { collides(one, $0) }) {
                problems.fault(
                    line: one.cursor.line, path: one.cursor.path,
                    found: "a mount that overlaps '\(other.path)' of line \(other.cursor.line)",
                    expected: "mounts whose folders lie beside each other")
                continue
            }
            mounts[one.path] = one.mount
        }
        return mounts
    }

    private func checkedPath(_ key: String, _ cursor: ConfigurationCursor) -> String? {
        do {
            return try MountPath.mount(key)
        } catch {
            let expected = (error as? MountPath.Refusal)?.expected ?? "a folder inside of the app"
            problems.fault(
                line: cursor.line, path: cursor.path,
                found: key.isEmpty ? "an empty path" : "the path \(ConfigurationProblems.quote(key))",
                expected: expected)
            return nil
        }
    }

    private func readMount(_ path: String, _ cursor: ConfigurationCursor) -> MountConfiguration? {
        let expected = "a map with 'source' storage, instance, tmp or service"
        if cursor.isNull {
            cursor.fault(expected: expected)
            return nil
        }
        let fields = cursor.fields(expected, known: ["source", "source_path", "service"], ignored: ["disk"])
        guard case .map = cursor.node.content else { return nil }
        guard let field = fields["source"], let source = readSource(field) else {
            if fields["source"] == nil {
                problems.fault(
                    line: cursor.line, path: "\(cursor.path).source", found: "nothing",
                    expected: "storage, instance, tmp or service")
            }
            return nil
        }
        var mount = MountConfiguration(source: source, sourcePath: path)
        if let field = fields["source_path"], !field.isNull {
            guard let folder = readSourcePath(field) else { return nil }
            mount.sourcePath = folder
        }
        if let field = fields["service"], !field.isNull {
            guard let name = field.text("the name of a service or application") else { return nil }
            if source == .storage || source == .service {
                mount.service = name
            } else {
                field.fault(expected: "no 'service' with the source \(source.rawValue)")
            }
        } else if source == .service {
            problems.fault(
                line: cursor.line, path: "\(cursor.path).service", found: "nothing",
                expected: "the name of a network storage service")
            return nil
        }
        return mount
    }

    private func readSource(_ field: ConfigurationCursor) -> MountConfiguration.Source? {
        switch field.node.content {
        case .string("storage"): return .storage
        case .string("instance"), .string("local"): return .instance
        case .string("tmp"), .string("temporary"): return .tmp
        case .string("service"): return .service
        default:
            field.fault(expected: "storage, instance (local), tmp (temporary) or service")
            return nil
        }
    }

    private func readSourcePath(_ field: ConfigurationCursor) -> String? {
        if case .string("") = field.node.content { return "" }
        guard let text = field.text("a folder of the storage") else { return nil }
        do {
            return try MountPath.folder(text, allowLeadingSlash: false)
        } catch {
            field.fault(expected: (error as? MountPath.Refusal)?.expected ?? "a folder of the storage")
            return nil
        }
    }

    /// Whether a mount shows the very files that the mount around it shows there anyway.
    private func isRedundant(_ inner: Found, within outer: Found) -> Bool {
        guard inner.path != outer.path, MountPath.contains(outer.path, inner.path),
            inner.mount.source == outer.mount.source, inner.mount.service == outer.mount.service
        else { return false }
        let below = inner.path.dropFirst(outer.path.count + 1)
        let there = outer.mount.sourcePath.isEmpty ? String(below) : outer.mount.sourcePath + "/" + below
        return inner.mount.sourcePath == there
    }

    /// Whether one mount lies in the other, in the app or in the storage. The same storage twice is allowed.
    private func collides(_ one: Found, _ other: Found) -> Bool {
        if MountPath.contains(one.path, other.path) || MountPath.contains(other.path, one.path) { return true }
        let sameStorage = one.mount.source == other.mount.source && one.mount.service == other.mount.service
        guard sameStorage, one.mount.sourcePath != other.mount.sourcePath else { return false }
        return MountPath.contains(one.mount.sourcePath, other.mount.sourcePath)
            || MountPath.contains(other.mount.sourcePath, one.mount.sourcePath)
    }
}
