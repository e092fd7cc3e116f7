import HoldfastModel

/// Git's own CGI program, which answers fetches and pushes over HTTP.
package enum GitHTTPService {
    /// Bytes of one push's pack: the repository lies on the same disk as the catalogue.
    package static let largestPush = 4 << 30

    /// How to run it for one repository.
    ///
    /// Nothing of our own environment reaches it. Its hooks see what is in `variables`.
    ///
    /// - Parameters:
    ///   - root: absolute path of the folder that the repository lies in.
    ///   - repository: the repository's name in that folder.
    ///   - variables: CGI's own (RFC 3875), but for the path, and what hooks are to see.
    ///   - path: what is asked of the repository, such as `/info/refs`.
    package static func specification(
        root: String, repository: String, path: String, variables: [String: String]
    ) -> ProcessSpecification {
        var environment = variables.filter { !$0.key.hasPrefix("GIT_") || $0.key == "GIT_PROTOCOL" }
        environment.merge(
            [
                "PATH": InstalledTypes.systemPath, "LC_ALL": "C", "HOME": "/nonexistent",
                "GATEWAY_INTERFACE": "CGI/1.1", "PATH_INFO": "/\(repository)\(path)",
                "GIT_PROJECT_ROOT": root, "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
                // What somebody pushes below refs/replace is never taken for something else.
                "GIT_NO_REPLACE_OBJECTS": "1",
                "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "receive.maxInputSize",
                "GIT_CONFIG_VALUE_0": "\(largestPush)",
                "GIT_CONFIG_GLOBAL": GitRepository.globalConfiguration(of: "\(root)/\(repository)"),
            ]
        ) { $1 }
        return ProcessSpecification(
            executable: "git", arguments: ["http-backend"], environment: environment, directory: "/")
    }
}
