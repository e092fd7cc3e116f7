// HoldfastCommands: the verbs of the command line, and how they read, ask, show and end.
//
// A verb is one file that parses its options, calls HoldfastClient and hands values to the one renderer. Where it runs
// (arguments, environment variables, directory, terminal, clock) is a value, `Surroundings`, so that tests can stand
// in for it. The executable assembles the tree and adds the verbs that run parts of Holdfast itself.

import ArgumentParser

/// The verbs that talk to a server.
package enum CommandTree {
    /// In the order in which help lists them.
    package static let clientCommands: [any ParsableCommand.Type] = [
        ProjectCreate.self, ProjectList.self, ProjectInfo.self, ProjectDelete.self, ProjectCurl.self,
        EnvironmentList.self, EnvironmentInfo.self, EnvironmentActivate.self, EnvironmentDeactivate.self,
        EnvironmentRedeploy.self, EnvironmentPause.self, EnvironmentResume.self, EnvironmentDelete.self,
        BackupCreate.self, BackupList.self, BackupGet.self, BackupDelete.self, BackupUndelete.self, BackupRestore.self,
        BackupDrill.self, BackupProtect.self, BackupEdit.self, BackupPolicy.self,
        Status.self, ActivityList.self, ActivityGet.self, ActivityLog.self, ActivityCancel.self,
        VariableList.self, VariableGet.self, VariableCreate.self, VariableUpdate.self, VariableDelete.self,
        UserAdd.self, UserList.self, TokenCreate.self, TokenList.self, TokenRevoke.self, RepositoryKey.self,
        GitCredential.self,
    ]
}
