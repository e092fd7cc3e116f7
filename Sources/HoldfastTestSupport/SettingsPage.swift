import Foundation

/// How Upsun's page "Back up an environment" changes a backup policy.
package enum SettingsPage {
    /// The four command lines exactly as they are printed there, comma before a closing bracket included.
    ///
    /// Source: Upsun's documentation, "Back up an environment".
    package static let commands = [
        #"""
        upsun project:curl settings -X PATCH \
           -d '{
               "data_retention": {
                  "production": {
                     "default_config": {
                        "schedule": [
                          {"interval": "1d", "count": 7},
                         ]
                      }
                   }
                }
              }'
        """#,
        #"""
        upsun project:curl settings -X PATCH \
           -d '{
               "data_retention": {
                  "production": {
                     "default_config": {
                        "schedule": [
                          {"interval": "1d", "count": 7},
                          {"interval": "1w", "count": 4},
                          {"interval": "1M", "count": 12}
                         ]
                      }
                   }
                }
              }'
        """#,
        #"""
        upsun project:curl /settings -X PATCH -d '{"data_retention": {"production": {"max_backups": 10}}}'
        """#,
        #"""
        upsun project:curl /settings -X PATCH -d '{"data_retention": {"production": \#
        {"default_config":  {"manual_count": 1}}}}'
        """#,
    ]

    /// What a shell passes on of a command line to the program that it names.
    package static func arguments(of command: String) throws -> [String] {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-euc", #"upsun() { printf '%s\0' "$@"; }"# + "\n" + command]
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = String(decoding: try pipe.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        process.waitUntilExit()
        return text.split(separator: "\0", omittingEmptySubsequences: false).dropLast().map(String.init)
    }

    /// The bodies of the four.
    package static func bodies() throws -> [String] { try commands.compactMap { try arguments(of: $0).last } }
}
