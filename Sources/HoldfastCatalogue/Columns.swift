import Foundation
import GRDB
import HoldfastModel

/// How values of the model lie in columns.
enum Column {
    /// Microseconds since 1970.
    static func stamp(_ date: Date) -> Int64 { Int64((date.timeIntervalSince1970 * 1_000_000).rounded()) }
    static func date(_ stamp: Int64) -> Date { Date(timeIntervalSince1970: Double(stamp) / 1_000_000) }

    static func json(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    static func value<Value: Decodable>(_ type: Value.Type, json: String) throws -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(json.utf8))
        } catch {
            throw HoldfastError(.damaged, "a \(type) in the catalogue cannot be read", cause: error)
        }
    }

    static func id<Kind>(_ text: String) throws -> Identifier<Kind> {
        guard let id = Identifier<Kind>(text) else {
            throw HoldfastError(.damaged, "the catalogue holds '\(text)' where a \(Kind.name) id should be")
        }
        return id
    }

    static func choice<Value: RawRepresentable<String>>(_ text: String) throws -> Value {
        guard let value = Value(rawValue: text) else {
            throw HoldfastError(.damaged, "the catalogue holds '\(text)' where a \(Value.self) should be")
        }
        return value
    }
}

/// A row that is read and written as a whole; columns are the properties in snake_case.
protocol CatalogueRecord: Codable, FetchableRecord, PersistableRecord {}

extension CatalogueRecord {
    static var databaseColumnDecodingStrategy: DatabaseColumnDecodingStrategy { .convertFromSnakeCase }
    static var databaseColumnEncodingStrategy: DatabaseColumnEncodingStrategy { .convertToSnakeCase }
}

struct ProjectRecord: CatalogueRecord {
    static let databaseTableName = "project"

    var id: String
    var title: String
    var defaultBranch: String
    var region: String
    var timeZone: String
    var retention: String?
    var createdAt: Int64
    var updatedAt: Int64

    init(_ project: Project) throws {
        id = project.id.rawValue
        title = project.title
        defaultBranch = project.defaultBranch
        region = project.region
        timeZone = project.timeZone
        retention = try project.retention.map(Column.json)
        createdAt = Column.stamp(project.createdAt)
        updatedAt = Column.stamp(project.updatedAt)
    }

    func model() throws -> Project {
        var project = Project(
            id: try Column.id(id), title: title, defaultBranch: defaultBranch, region: region, timeZone: timeZone,
            createdAt: Column.date(createdAt))
        project.updatedAt = Column.date(updatedAt)
        project.retention = try retention.map { try Column.value(RetentionSettings.self, json: $0) }
        return project
    }
}

struct EnvironmentRecord: CatalogueRecord {
    static let databaseTableName = "environment"

    var id: String
    var project: String
    var name: String
    var title: String
    var type: String
    var status: String
    var parent: String?
    var headCommit: String?
    var createdAt: Int64
    var updatedAt: Int64

    init(_ environment: Environment) {
        id = environment.id.rawValue
        project = environment.project.rawValue
        name = environment.name
        title = environment.title
        type = environment.type.rawValue
        status = environment.status.rawValue
        parent = environment.parent
        headCommit = environment.headCommit
        createdAt = Column.stamp(environment.createdAt)
        updatedAt = Column.stamp(environment.updatedAt)
    }

    func model() throws -> Environment {
        var environment = Environment(
            id: try Column.id(id), project: try Column.id(project), name: name, type: try Column.choice(type),
            status: try Column.choice(status), createdAt: Column.date(createdAt))
        environment.title = title
        environment.parent = parent
        environment.headCommit = headCommit
        environment.updatedAt = Column.date(updatedAt)
        return environment
    }
}

struct BackupRecord: CatalogueRecord {
    static let databaseTableName = "backup"

    var id: String
    var project: String
    var environment: String
    var environmentName: String
    var status: String
    var safe: Bool
    var automated: Bool
    var commitId: String
    var deployment: String
    var snapshot: String
    var sizeBytes: Int64
    var addedBytes: Int64
    var sites: String
    var hold: String?
    var skew: String?
    var claims: String
    var isProtected: Bool
    var lockedUntil: Int64?
    var deletedAt: Int64?
    var deletedBecause: String?
    var label: String?
    var note: String?
    var createdAt: Int64
    var updatedAt: Int64

    init(_ backup: Backup) throws {
        id = backup.id.rawValue
        project = backup.project.rawValue
        environment = backup.environment.rawValue
        environmentName = backup.environmentName
        status = backup.status.rawValue
        safe = backup.safe
        automated = backup.automated
        commitId = backup.commit
        deployment = backup.deployment
        snapshot = backup.snapshot
        sizeBytes = backup.sizeBytes
        addedBytes = backup.addedBytes
        sites = try Column.json(backup.sites)
        hold = try backup.hold.map(Column.json)
        skew = try backup.skew.map(Column.json)
        let keeping = backup.keeping
        claims = try Column.json(keeping.claims)
        isProtected = keeping.isProtected
        lockedUntil = keeping.lockedUntil.map(Column.stamp)
        deletedAt = keeping.deletedAt.map(Column.stamp)
        deletedBecause = keeping.deletedBecause
        label = keeping.label
        note = keeping.note
        createdAt = Column.stamp(backup.createdAt)
        updatedAt = Column.stamp(backup.updatedAt)
    }

    func model() throws -> Backup {
        let owner = Environment(
            id: try Column.id(environment), project: try Column.id(project), name: environmentName,
            type: .development, status: .active, createdAt: Column.date(createdAt))
        var backup = Backup(
            id: try Column.id(id), environment: owner, safe: safe, automated: automated, commit: commitId,
            deployment: deployment, snapshot: snapshot, sizes: (sizeBytes, addedBytes),
            sites: try Column.value([SitePlacement].self, json: sites),
            evidence: (
                try hold.map { try Column.value(HoldEvidence.self, json: $0) },
                try skew.map { try Column.value(LiveSkew.self, json: $0) }
            ), createdAt: Column.date(createdAt), updatedAt: Column.date(updatedAt))
        backup.status = try Column.choice(status)
        backup.keeping = try keeping()
        return backup
    }

    private func keeping() throws -> BackupKeeping {
        var keeping = BackupKeeping()
        keeping.claims = try Column.value([SlotClaim].self, json: claims)
        keeping.isProtected = isProtected
        keeping.lockedUntil = lockedUntil.map(Column.date)
        keeping.deletedAt = deletedAt.map(Column.date)
        keeping.deletedBecause = deletedBecause
        keeping.label = label
        keeping.note = note
        return keeping
    }
}

struct ActivityRecord: CatalogueRecord {
    static let databaseTableName = "activity"

    var id: String
    var project: String
    var environment: String?
    var environmentName: String?
    var type: String
    var queue: String
    var makesDirty: Bool
    var state: String
    var result: String?
    var failure: String?
    var completionPercent: Int
    var parameters: String
    var user: String?
    var text: String
    var createdAt: Int64
    var updatedAt: Int64
    var startedAt: Int64?
    var completedAt: Int64?

    init(_ activity: Activity, environmentName: String?) throws {
        id = activity.id.rawValue
        project = activity.project.rawValue
        environment = activity.environment?.rawValue
        self.environmentName = environmentName
        type = activity.type.rawValue
        queue = activity.type.queue.rawValue
        makesDirty = activity.type.makesDirty
        state = activity.state.rawValue
        result = activity.result?.rawValue
        failure = activity.failure
        completionPercent = activity.completionPercent
        parameters = try Column.json(activity.parameters)
        user = activity.user?.rawValue
        text = activity.text
        createdAt = Column.stamp(activity.createdAt)
        updatedAt = Column.stamp(activity.updatedAt)
        startedAt = activity.startedAt.map(Column.stamp)
        completedAt = activity.completedAt.map(Column.stamp)
    }

    func model() throws -> Activity {
        var activity = Activity(
            id: try Column.id(id), project: try Column.id(project),
            environment: try environment.map { try Column.id($0) }, type: try Column.choice(type),
            parameters: try Column.value([String: String].self, json: parameters),
            user: try user.map { try Column.id($0) }, text: text, createdAt: Column.date(createdAt))
        activity.state = try Column.choice(state)
        activity.result = try result.map { try Column.choice($0) }
        activity.failure = failure
        activity.completionPercent = completionPercent
        activity.updatedAt = Column.date(updatedAt)
        activity.startedAt = startedAt.map(Column.date)
        activity.completedAt = completedAt.map(Column.date)
        return activity
    }
}

struct UserRecord: CatalogueRecord {
    static let databaseTableName = "user"

    var id: String
    var username: String
    var email: String
    var displayName: String
    var isOperator: Bool
    var createdAt: Int64

    init(_ user: User) {
        id = user.id.rawValue
        username = user.username
        email = user.email
        displayName = user.displayName
        isOperator = user.isOperator
        createdAt = Column.stamp(user.createdAt)
    }

    func model() throws -> User {
        User(
            id: try Column.id(id), username: username, email: email, displayName: displayName,
            isOperator: isOperator, createdAt: Column.date(createdAt))
    }
}
