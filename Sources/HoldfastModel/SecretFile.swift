import Foundation

/// A secret in a file of its own: the one way in which secrets of others come from settings.
public enum SecretFile {
    /// The first line; it is read anew each time, so that a new secret needs no restart.
    ///
    /// - Parameters:
    ///   - path: absolute.
    ///   - shortest: fewer bytes than this are no secret.
    /// - Throws: `notFound` if it cannot be read, is empty or too short. The error names the file and nothing of what
    ///   is in it.
    public static func read(_ path: String, shortest: Int = 1) throws -> Secret {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8),
            let line = text.split(whereSeparator: \.isNewline).first, line.utf8.count >= shortest
        else {
            throw HoldfastError(
                .notFound,
                shortest > 1
                    ? "\(path) has no secret of \(shortest) bytes or more in its first line"
                    : "\(path) has no secret in its first line",
                hint: "Write it there, and make the file readable for the user that runs holdfast")
        }
        return Secret(String(line))
    }
}
