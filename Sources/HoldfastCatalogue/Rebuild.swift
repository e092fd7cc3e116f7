import Foundation
import GRDB
import HoldfastModel

/// One project as a rebuilt catalogue begins with it.
package struct RebuiltProject: Sendable {
    package var project: Project
    package var environments: [Environment]
    /// In the order in which they were recorded.
    package var backups: [Backup]
    package var sealedPassword: [UInt8]

    package init(project: Project, environments: [Environment], backups: [Backup], sealedPassword: [UInt8]) {
        self.project = project
        self.environments = environments
        self.backups = backups
        self.sealedPassword = sealedPassword
    }
}

extension Catalogue {
    /// Records a project with everything that its sites said, in one transaction. Backups of environments that were
    /// deleted are recorded as well.
    ///
    /// - Throws: `conflict` if the project, or something of it, is there already.
    package func rebuild(_ rebuilt: RebuiltProject) throws {
        try write { database in
            try ProjectRecord(rebuilt.project).insert(database)
            try database.execute(
                sql: "UPDATE project SET sealed_repository_password = ? WHERE id = ?",
                arguments: [Data(rebuilt.sealedPassword), rebuilt.project.id.rawValue])
            for environment in rebuilt.environments { try EnvironmentRecord(environment).insert(database) }
            for backup in rebuilt.backups { try Self.record(backup, database) }
        }
    }

    /// Closes the database with everything in its one file, so that the file can be given another name.
    package func closeIntoOneFile() throws {
        try checkpoint()
        try close()
    }
}
