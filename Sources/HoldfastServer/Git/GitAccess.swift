import Foundation
import HoldfastCatalogue
import HoldfastModel

/// Who may fetch and push over HTTP. Refusals are audited, and so is every reference that somebody pushes.
package struct GitAccess: Sendable {
    private let catalogue: Catalogue
    private let time: any TimeSource

    package init(catalogue: Catalogue, time: any TimeSource) {
        self.catalogue = catalogue
        self.time = time
    }

    /// Who it is that shows `Authorization: Basic …`; the API token is the password, the name is not looked at.
    ///
    /// - Throws: `unauthenticated`.
    func authenticate(_ header: String?) throws -> Session {
        guard let token = Self.password(header) else {
            throw HoldfastError(
                .unauthenticated, "no API token was shown", hint: "Use any user name, and an API token as the password")
        }
        return try catalogue.authenticate(apiToken: token)
    }

    /// What can be said before it is known which branches are pushed.
    ///
    /// - Throws: `forbidden`, or `notFound` if they may not know of the project.
    func check(_ service: GitService, on project: ProjectID, by session: Session) throws {
        do {
            switch service {
            case .uploadPack: try requireSome(.viewer, for: "a fetch", on: project, session)
            case .receivePack: try requireSome(.contributor, for: "a push", on: project, session)
            }
            _ = try catalogue.project(project)
        } catch let error as HoldfastError where [.forbidden, .notFound].contains(error.code) {
            let action = service == .receivePack ? ActivityType.push.rawValue : "git.fetch"
            try record(action, nil, on: project, by: session, refusedFor: error)
            throw error
        }
    }

    /// Decides whether somebody may push these references, all or none of them.
    ///
    /// - Parameters:
    ///   - references: full names. A branch needs the role contributor on the type of its environment, or on the type
    ///     that a new one would have; a tag needs it on any type.
    ///   - token: that was shown; it may have been revoked since.
    /// - Throws: `forbidden` with the reason, `unauthenticated` if the token is gone or somebody else's.
    package func judge(
        push references: [String], to project: ProjectID, by user: UserID, token: TokenID
    ) throws {
        let session = try catalogue.session(of: token)
        guard session.user.id == user else {
            throw HoldfastError(.unauthenticated, "the API token belongs to somebody else")
        }
        let subjects = references.map { Self.branch($0) ?? $0 }
        do {
            let types = try environmentTypes(in: project)
            for reference in references {
                guard let branch = Self.branch(reference) else {
                    try requireSome(.contributor, for: "a push", on: project, session)
                    continue
                }
                try require(on: types(branch), branch: branch, of: project, session)
            }
        } catch let error as HoldfastError where [.forbidden, .notFound].contains(error.code) {
            for subject in subjects {
                try record(ActivityType.push.rawValue, subject, on: project, by: session, refusedFor: error)
            }
            throw error
        }
        for subject in subjects { try record(ActivityType.push.rawValue, subject, on: project, by: session) }
    }

    // MARK: Roles

    private func environmentTypes(in project: ProjectID) throws -> (String) -> EnvironmentType {
        let known = try catalogue.environments(in: project)
        let defaultBranch = try catalogue.project(project).defaultBranch
        return { branch in
            known.first { $0.name == branch }?.type ?? (branch == defaultBranch ? .production : .development)
        }
    }

    private func require(on type: EnvironmentType, branch: String, of project: ProjectID, _ session: Session) throws {
        let principal = Principal(session: session, catalogue: catalogue)
        let own = try principal.requirePermissions(in: project).role(on: type)
        guard let own, own >= .contributor else {
            let has = own.map { "has the role \($0.rawValue)" } ?? "has no role"
            throw HoldfastError(
                .forbidden,
                "\(session.user.username) \(has) on \(type.rawValue) environments, and a push to \(branch) "
                    + "needs contributor",
                hint: "Ask an admin of the project for \(type.rawValue):contributor")
        }
    }

    private func requireSome(_ role: Role, for what: String, on project: ProjectID, _ session: Session) throws {
        let principal = Principal(session: session, catalogue: catalogue)
        let own = try principal.requirePermissions(in: project)
        guard EnvironmentType.allCases.contains(where: { own.role(on: $0).map { $0 >= role } ?? false }) else {
            throw HoldfastError(
                .forbidden,
                "\(session.user.username) has the role \(role.rawValue) on no environments of project \(project), "
                    + "\(what) needs it",
                hint: "Ask an admin of the project for development:\(role.rawValue)")
        }
    }

    // MARK: Parts

    private func record(
        _ action: String, _ subject: String?, on project: ProjectID, by session: Session,
        refusedFor error: HoldfastError? = nil
    ) throws {
        try catalogue.audit(
            AuditEntry(
                at: time.now(), session: session, action: action, on: (project, subject.map { String($0.prefix(255)) }),
                result: error == nil ? .allowed : .refused, detail: error?.message))
    }

    private static func branch(_ reference: String) -> String? {
        let prefix = "refs/heads/"
        return reference.hasPrefix(prefix) ? String(reference.dropFirst(prefix.count)) : nil
    }

    private static func password(_ header: String?) -> Secret? {
        guard let parts = header?.split(separator: " ", maxSplits: 1), parts.count == 2,
            parts[0].lowercased() == "basic",
            let data = Data(base64Encoded: parts[1].trimmingCharacters(in: .whitespaces)),
            let text = String(data: data, encoding: .utf8), let colon = text.firstIndex(of: ":")
        else { return nil }
        return Secret(String(text[text.index(after: colon)...]))
    }
}
