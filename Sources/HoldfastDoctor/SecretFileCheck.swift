import Foundation

/// A file with a secret that the settings name.
package struct SecretFileCheck: Sendable {
    let path: String

    package init(path: String) { self.path = path }

    package func findings() -> [Finding] {
        var status = stat()
        guard stat(path, &status) == 0, access(path, R_OK) == 0, status.st_size > 0 else {
            return [
                .wrong("secrets", "\(path) cannot be read, or is empty", "Write the secret into its first line")
            ]
        }
        let mode = status.st_mode & 0o777
        guard mode & 0o077 == 0 else {
            return [
                .wrong(
                    "secrets", "\(path) has mode \(String(mode, radix: 8)), so others may read it",
                    "Run chmod 600 \(path)")
            ]
        }
        return [.good("secrets", "\(path) can be read by its owner alone")]
    }
}
