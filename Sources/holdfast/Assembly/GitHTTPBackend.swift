import HoldfastCatalogue
import HoldfastEnvironments
import HoldfastModel
import HoldfastServer
import Logging

/// Answers Git's requests over HTTP with `git http-backend`.
struct GitHTTPBackend: GitBackend {
    let home: StateDirectory
    private let logger = Logger(label: "holdfast.git")

    init(home: StateDirectory) { self.home = home }

    func start(_ request: GitRequest) throws -> any GitExchange {
        let folder = GitFolder(home.gitDirectory(request.project))
        let specification = GitHTTPService.specification(
            root: folder.parent, repository: folder.name,
            path: request.isAdvertisement ? "/info/refs" : "/\(request.service.rawValue)",
            variables: Self.variables(request))
        return Exchange(process: try StreamedProcess(specification), logger: logger)
    }

    private static func variables(_ request: GitRequest) -> [String: String] {
        var variables = [
            "REQUEST_METHOD": request.isAdvertisement ? "GET" : "POST",
            "QUERY_STRING": request.isAdvertisement ? "service=\(request.service.rawValue)" : "",
            "SERVER_PROTOCOL": "HTTP/1.1",
            // A push is only taken from somebody who has a name.
            "REMOTE_USER": request.session.user.username,
            Pusher.userVariable: request.session.user.id.rawValue,
            Pusher.tokenVariable: request.session.token.rawValue,
        ]
        variables["CONTENT_TYPE"] = request.contentType
        variables["CONTENT_LENGTH"] = request.contentLength.map { String($0) }
        variables["HTTP_CONTENT_ENCODING"] = request.contentEncoding
        variables["GIT_PROTOCOL"] = request.protocolVersion
        return variables
    }

    /// A repository's place, in two parts.
    private struct GitFolder {
        let parent: String
        let name: String

        init(_ path: String) {
            let parts = path.split(separator: "/")
            parent = "/" + parts.dropLast().joined(separator: "/")
            name = parts.last.map(String.init) ?? ""
        }
    }

    private final class Exchange: GitExchange {
        private let process: StreamedProcess
        private let logger: Logger

        init(process: StreamedProcess, logger: Logger) {
            self.process = process
            self.logger = logger
        }

        func write(_ bytes: [UInt8]) throws { try process.write(bytes) }
        func closeInput() { process.closeInput() }
        func stop() { process.stop() }

        func read() throws -> [UInt8] {
            let piece = try process.read()
            if piece.isEmpty, let outcome = process.outcome, !outcome.status.isSuccess {
                logger.notice(
                    "git http-backend failed",
                    metadata: ["status": "\(outcome.status)", "errors": "\(outcome.errors)"])
            }
            return piece
        }
    }
}
