import Foundation

/// Asks a program for its version.
package enum VersionProbe {
    /// What the program prints on both outputs; nil if it cannot be run or fails.
    package static let run: InstalledTypes.Probe = { program, arguments in
        let specification = ProcessSpecification(
            executable: program, arguments: arguments,
            environment: ["PATH": InstalledTypes.systemPath, "LC_ALL": "C", "HOME": "/nonexistent"], directory: "/")
        let options = ProcessOptions(timeout: .seconds(10), outputLimit: 4096, mergesErrors: true)
        guard let outcome = try? ProcessRunner().run(specification, options: options) else { return nil }
        return outcome.isSuccess ? outcome.text : nil
    }
}
