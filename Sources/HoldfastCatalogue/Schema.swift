import Foundation
import GRDB
import HoldfastModel

/// The schema as a list of named migrations. A migration that was published is never changed: append another one.
///
/// Times are whole microseconds since 1970-01-01 UTC; structured columns are JSON text.
enum Schema {
    static func migrate(_ pool: DatabasePool) throws {
        let migrator = self.migrator
        if try pool.read(migrator.hasBeenSuperseded) {
            throw HoldfastError(
                .unsupported, "the catalogue was written by a newer version of Holdfast",
                hint: "Install that version again, or put back a copy of catalogue.sqlite from before the upgrade")
        }
        try migrator.migrate(pool)
    }

    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("001 projects and environments") { try $0.execute(sql: projects) }
        migrator.registerMigration("002 backups") { try $0.execute(sql: backups) }
        migrator.registerMigration("003 activities") { try $0.execute(sql: activities) }
        migrator.registerMigration("004 people and tokens") { try $0.execute(sql: people) }
        migrator.registerMigration("005 audit") { try $0.execute(sql: audit) }
        migrator.registerMigration("006 gone environments") { try $0.execute(sql: goneEnvironments) }
        migrator.registerMigration("007 retention") { try $0.execute(sql: retention) }
        migrator.registerMigration("008 notices") { try $0.execute(sql: notices) }
        return migrator
    }

    private static let projects = """
        CREATE TABLE project (
            id TEXT NOT NULL PRIMARY KEY,
            title TEXT NOT NULL,
            default_branch TEXT NOT NULL CHECK (default_branch <> ''),
            region TEXT NOT NULL,
            time_zone TEXT NOT NULL,
            sealed_repository_password BLOB CHECK (length(sealed_repository_password) > 0),
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE environment (
            id TEXT NOT NULL PRIMARY KEY,
            project TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
            name TEXT NOT NULL CHECK (name <> ''),
            title TEXT NOT NULL,
            type TEXT NOT NULL CHECK (type IN ('production', 'staging', 'development')),
            status TEXT NOT NULL CHECK (status IN ('active', 'inactive', 'paused', 'deleting')),
            parent TEXT,
            head_commit TEXT CHECK (length(head_commit) = 40),
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            UNIQUE (project, name)
        ) STRICT;
        CREATE UNIQUE INDEX one_production_environment ON environment (project) WHERE type = 'production';
        CREATE TABLE variable (
            project TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
            environment TEXT REFERENCES environment (id) ON DELETE CASCADE,
            name TEXT NOT NULL CHECK (name <> ''),
            value TEXT NOT NULL,
            is_sensitive INTEGER NOT NULL CHECK (is_sensitive IN (0, 1)),
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL
        ) STRICT;
        CREATE UNIQUE INDEX variable_name ON variable (project, ifnull(environment, ''), name);
        """

    /// A backup outlives its environment, so that column refers to nothing.
    private static let backups = """
        CREATE TABLE backup (
            id TEXT NOT NULL PRIMARY KEY,
            project TEXT NOT NULL REFERENCES project (id),
            environment TEXT NOT NULL,
            environment_name TEXT NOT NULL,
            status TEXT NOT NULL CHECK (status IN ('CREATED', 'DELETING')),
            safe INTEGER NOT NULL CHECK (safe IN (0, 1)),
            automated INTEGER NOT NULL CHECK (automated IN (0, 1)),
            commit_id TEXT NOT NULL CHECK (length(commit_id) = 40),
            deployment TEXT NOT NULL,
            snapshot TEXT NOT NULL UNIQUE CHECK (length(snapshot) = 64),
            size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
            added_bytes INTEGER NOT NULL CHECK (added_bytes >= 0),
            sites TEXT NOT NULL,
            hold TEXT,
            skew TEXT,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            CHECK (safe = 0 OR hold IS NOT NULL)
        ) STRICT;
        CREATE INDEX backup_by_environment ON backup (environment, created_at);
        """

    private static let activities = """
        CREATE TABLE activity (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            project TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
            environment TEXT,
            environment_name TEXT,
            type TEXT NOT NULL,
            queue TEXT NOT NULL CHECK (queue IN ('default', 'backup', 'cron')),
            makes_dirty INTEGER NOT NULL CHECK (makes_dirty IN (0, 1)),
            state TEXT NOT NULL CHECK (state IN ('pending', 'in_progress', 'complete', 'cancelled')),
            result TEXT CHECK (result IN ('success', 'failure')),
            failure TEXT,
            completion_percent INTEGER NOT NULL CHECK (completion_percent BETWEEN 0 AND 100),
            parameters TEXT NOT NULL,
            user TEXT,
            text TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            started_at INTEGER,
            completed_at INTEGER,
            CHECK ((environment IS NULL) = (environment_name IS NULL)),
            CHECK ((state = 'complete') = (result IS NOT NULL)),
            CHECK ((state = 'complete') = (completion_percent = 100)),
            CHECK ((state IN ('complete', 'cancelled')) = (completed_at IS NOT NULL)),
            CHECK (failure IS NULL OR result = 'failure')
        ) STRICT;
        CREATE UNIQUE INDEX one_running_activity ON activity (environment) WHERE state = 'in_progress';
        CREATE INDEX open_activity ON activity (queue, environment) WHERE state IN ('pending', 'in_progress');
        CREATE INDEX activity_by_project ON activity (project, created_at);
        CREATE INDEX activity_by_environment ON activity (environment, created_at);
        CREATE TABLE activity_log (
            activity TEXT NOT NULL REFERENCES activity (id) ON DELETE CASCADE,
            sequence INTEGER NOT NULL CHECK (sequence > 0),
            at INTEGER NOT NULL,
            message TEXT NOT NULL,
            PRIMARY KEY (activity, sequence)
        ) STRICT, WITHOUT ROWID;
        """

    private static let people = """
        CREATE TABLE user (
            id TEXT NOT NULL PRIMARY KEY,
            username TEXT NOT NULL COLLATE NOCASE UNIQUE CHECK (username <> ''),
            email TEXT NOT NULL COLLATE NOCASE UNIQUE CHECK (email LIKE '%_@_%'),
            display_name TEXT NOT NULL,
            is_operator INTEGER NOT NULL CHECK (is_operator IN (0, 1)),
            created_at INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE permission (
            project TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
            user TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
            permissions TEXT NOT NULL,
            granted_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            PRIMARY KEY (project, user)
        ) STRICT;
        CREATE TABLE api_token (
            id TEXT NOT NULL PRIMARY KEY,
            user TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
            name TEXT NOT NULL,
            hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
            project TEXT REFERENCES project (id) ON DELETE CASCADE,
            permissions TEXT,
            created_at INTEGER NOT NULL,
            last_used_at INTEGER,
            CHECK ((project IS NULL) = (permissions IS NULL))
        ) STRICT;
        CREATE TABLE access_token (
            hash BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
            token TEXT NOT NULL REFERENCES api_token (id) ON DELETE CASCADE,
            expires_at INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        """

    /// Entries are added and never changed or removed.
    private static let audit = """
        CREATE TABLE audit (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            at INTEGER NOT NULL,
            user TEXT,
            token TEXT,
            action TEXT NOT NULL,
            project TEXT,
            subject TEXT,
            result TEXT NOT NULL CHECK (result IN ('allowed', 'refused', 'failed')),
            detail TEXT
        ) STRICT;
        CREATE INDEX audit_by_project ON audit (project, sequence);
        CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
            BEGIN SELECT RAISE(ABORT, 'the audit log is never changed'); END;
        CREATE TRIGGER audit_is_not_removed BEFORE DELETE ON audit
            BEGIN SELECT RAISE(ABORT, 'the audit log is never removed'); END;
        """

    /// Environments that were deleted: their type still says who may see their activities and use their backups.
    private static let goneEnvironments = """
        CREATE TABLE gone_environment (
            id TEXT NOT NULL PRIMARY KEY,
            project TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
            name TEXT NOT NULL,
            type TEXT NOT NULL CHECK (type IN ('production', 'staging', 'development'))
        ) STRICT;
        CREATE INDEX gone_environment_by_project ON gone_environment (project);
        """

    /// `position` is the order in which an installation recorded its backups, whatever its clock said. A claim stays
    /// when its backup goes, as long as it is the newest of its interval: no slot is claimed twice.
    private static let retention = """
        ALTER TABLE project ADD COLUMN retention TEXT;
        ALTER TABLE backup ADD COLUMN position INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE backup ADD COLUMN claims TEXT NOT NULL DEFAULT '[]';
        ALTER TABLE backup ADD COLUMN is_protected INTEGER NOT NULL DEFAULT 0 CHECK (is_protected IN (0, 1));
        ALTER TABLE backup ADD COLUMN locked_until INTEGER;
        ALTER TABLE backup ADD COLUMN deleted_at INTEGER;
        ALTER TABLE backup ADD COLUMN deleted_because TEXT CHECK (deleted_because IS NULL OR deleted_at IS NOT NULL);
        ALTER TABLE backup ADD COLUMN label TEXT;
        ALTER TABLE backup ADD COLUMN note TEXT;
        UPDATE backup SET position = (
            SELECT count(*) FROM backup AS other
            WHERE (other.created_at, other.id) <= (backup.created_at, backup.id));
        CREATE INDEX backup_by_position ON backup (environment, position);
        CREATE INDEX deleted_backup ON backup (deleted_at) WHERE deleted_at IS NOT NULL;
        CREATE TABLE claim (
            environment TEXT NOT NULL,
            interval TEXT NOT NULL,
            slot INTEGER NOT NULL,
            project TEXT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
            backup TEXT NOT NULL,
            PRIMARY KEY (environment, interval, slot)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX claim_by_backup ON claim (backup);
        """

    /// `alarm` is what a channel was told and is not over; `notice` is what is on its way, in the order of telling.
    private static let notices = """
        CREATE TABLE alarm (
            channel TEXT NOT NULL CHECK (channel <> ''),
            key TEXT NOT NULL,
            notice TEXT NOT NULL,
            PRIMARY KEY (channel, key)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE notice (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            channel TEXT NOT NULL CHECK (channel <> ''),
            notice TEXT NOT NULL,
            attempts INTEGER NOT NULL CHECK (attempts >= 0),
            next_at INTEGER NOT NULL,
            problem TEXT
        ) STRICT;
        CREATE INDEX notice_by_channel ON notice (channel, sequence);
        CREATE INDEX ended_activity ON activity (type, environment, sequence) WHERE state = 'complete';
        """
}
