import Foundation
import HoldfastClient
import HoldfastModel

/// Finds the project, and the branch, of the Git checkout one stands in.
package struct ContextFinder: Sendable {
    package struct Context: Sendable, Equatable {
        package var project: ProjectID
        /// The branch whose environment is meant; nil if HEAD is detached.
        package var branch: String?
        package var root: String

        package init(project: ProjectID, branch: String?, root: String) {
            self.project = project
            self.branch = branch
            self.root = root
        }
    }

    private let home: String
    private let server: ServerAddress

    package init(home: String, server: ServerAddress) {
        self.home = home
        self.server = server
    }

    /// - Returns: nil if the directory is in no checkout, or in one without a remote that is a project.
    /// - Throws: `invalidInput` if remotes name several projects and none of them goes before the others.
    package func find(from directory: String) throws -> Context? {
        guard let checkout = GitCheckout(containing: directory) else { return nil }
        guard let (remote, project) = try choose(checkout) else { return nil }
        var branch = checkout.branch
        if let upstream = checkout.upstream, upstream.remote == remote { branch = upstream.branch }
        return Context(project: project, branch: branch, root: checkout.root)
    }

    /// Sure remotes go before likely ones; among these the branch's own, `holdfast` and `origin` go first.
    private func choose(_ checkout: GitCheckout) throws -> (remote: String, project: ProjectID)? {
        let candidates = checkout.remotes.compactMap { remote in
            project(at: remote.url).map { (name: remote.name, id: $0.id, isSure: $0.isSure) }
        }
        let sure = candidates.filter(\.isSure)
        let usable = sure.isEmpty ? candidates : sure
        for name in [checkout.upstream?.remote, "holdfast", "origin"] {
            if let match = usable.first(where: { $0.name == name }) { return (match.name, match.id) }
        }
        let projects = Set(usable.map(\.id))
        guard projects.count <= 1 else {
            let names = projects.map(\.rawValue).sorted().joined(separator: ", ")
            throw HoldfastError(
                .invalidInput, "the remotes of '\(checkout.root)' belong to several projects: \(names)",
                hint: "Choose one with --project, or name its remote 'holdfast'")
        }
        return usable.first.map { ($0.name, $0.id) }
    }

    /// The project that a remote's URL means, and whether that is beyond doubt.
    package func project(at url: String) -> (id: ProjectID, isSure: Bool)? {
        if url.hasPrefix("http://") || url.hasPrefix("https://") { return projectByHTTP(url) }
        let path = url.hasPrefix("file://") ? String(url.dropFirst("file://".count)) : url
        let parts = path.split(separator: "/").map(String.init)
        guard parts.count >= 3, parts[parts.count - 1] == "repository.git", parts[parts.count - 3] == "projects",
            let id = ProjectID(parts[parts.count - 2])
        else { return nil }
        let standard = URL(fileURLWithPath: path).standardizedFileURL.path
        return (id, standard == "\(home)/projects/\(id)/repository.git")
    }

    /// `https://host/<id>.git`. On a host that is not the server's it must at least look like one of our ids.
    private func projectByHTTP(_ url: String) -> (id: ProjectID, isSure: Bool)? {
        guard let parts = URLComponents(string: url), let host = parts.host else { return nil }
        var path = parts.percentEncodedPath
        if !server.basePath.isEmpty, path.hasPrefix(server.basePath + "/") {
            path.removeFirst(server.basePath.count)
        }
        let segments = path.split(separator: "/").map(String.init)
        guard segments.count == 1, segments[0].hasSuffix(".git"),
            let id = ProjectID(String(segments[0].dropLast(".git".count)))
        else { return nil }
        if host == server.host { return (id, true) }
        let isUsual =
            id.rawValue.count == ProjectKind.length
            && id.rawValue.allSatisfy { ("a"..."z").contains($0) || ("2"..."7").contains($0) }
        return isUsual ? (id, false) : nil
    }
}
