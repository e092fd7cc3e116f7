import Foundation
import HoldfastEnvironments
import HoldfastModel

/// Configurations that several tests read.
enum ConfigurationSamples {
    /// The folder of the sample environment.
    static var ledger: String {
        var folder = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
        for _ in 0..<4 { folder.deleteLastPathComponent() }
        return folder.appendingPathComponent("Examples/ledger").path
    }

    static let full = """
        applications:
          ledger:
            type: "python:3.11"
            source:
              root: "/app"
            container_profile: BALANCED
            relationships:
              database: "db:postgresql"
              cache:
              search: {service: find, endpoint: http}
            mounts:
              "/files/":
                source: storage
              "var/cache":
                source: temporary
              "shared":
                source: storage
                source_path: "uploads/all"
                service: other
              "local":
                source: local
            web:
              commands:
                pre_start: "true"
                start: "exec python3 -m ledger.web"
              upstream: {socket_family: tcp, protocol: http}
            workers:
              tally:
                commands:
                  start: "exec python3 -m ledger.tally"
                quiesce: {signal: SIGHUP, resume: USR2, timeout: 7}
                variables: {env: {ROLE: tally}}
            hooks:
              build: |
                set -e
                make
              deploy: "migrate"
              post_deploy: "warm"
            crons:
              stamp:
                spec: "H/5 * * * *"
                commands: {start: "stamp", stop: "unstamp"}
                shutdown_timeout: 3
                timeout: 60
            variables:
              env: {DEBUG: 1.10, ON: true, LIST: [1, two], EMPTY: }
              php: {memory_limit: 128M}
            timezone: Europe/Berlin
          other:
            type: binary
            web: {commands: {start: ./serve}}
        services:
          db:
            type: postgresql:15
            configuration: {extensions: [pg_trgm]}
          cache: {type: "postgresql:15"}
          find: {type: "postgresql:15"}
        routes:
          "https://{default}/": {type: upstream, upstream: "ledger:http", primary: true}
          "https://www.{default}/": {type: redirect, to: "https://{default}/"}
        """

    /// One app with extra lines in it, from line 4 on.
    static func app(_ lines: String) -> String {
        let body = lines.split(separator: "\n", omittingEmptySubsequences: false).map { "    \($0)" }
        return "applications:\n  a:\n    type: binary\n" + body.joined(separator: "\n") + "\n"
    }

    /// The message of the error that a text is refused with; nil if it is accepted.
    static func refusal(_ yaml: String) -> String? {
        do {
            _ = try EnvironmentConfiguration.parse(yaml, file: "c.yaml")
            return nil
        } catch let error as HoldfastError {
            return error.code == .invalidInput ? error.message : "another error: \(error)"
        } catch {
            return "another error: \(error)"
        }
    }

    static func warnings(_ yaml: String) throws -> [String] {
        try EnvironmentConfiguration.parse(yaml, file: "c.yaml").warnings.map(\.description)
    }
}
