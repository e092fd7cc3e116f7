import Foundation
import HoldfastEnvironments
import HoldfastModel
import Synchronization

/// Publishes numbers to a durable queue and waits for the confirmations. Speaks through Debian's client for Python.
final class RabbitMQClient: ContractClient {
    private static let script = """
        import sys, pika
        credentials = pika.PlainCredentials(sys.stdin.readline().strip(), sys.stdin.readline().strip())
        try:
            connection = pika.BlockingConnection(pika.ConnectionParameters(
                "127.0.0.1", int(sys.argv[1]), "/", credentials, heartbeat=0, connection_attempts=1))
            channel = connection.channel()
            channel.confirm_delivery()
            channel.queue_declare("events", durable=True)
        except Exception as error:
            sys.exit("FAILED %r" % error)

        def events():
            # What is taken and not acknowledged goes back when its channel ends.
            reader, found = connection.channel(), []
            while True:
                method, _, body = reader.basic_get("events")
                if method is None:
                    break
                found.append(body.split()[0].decode())
            reader.close()
            return " ".join(found)

        print("OK", flush=True)
        for line in sys.stdin:
            words = line.split()
            if words[0] == "ADD":
                body = (words[1] + " " + "x" * 2000).encode()
                channel.basic_publish("", "events", body, pika.BasicProperties(delivery_mode=2), mandatory=True)
                print("OK", flush=True)
            else:
                print("OK", events(), flush=True)
        """

    private struct Pipes {
        var process: Process
        var input: FileHandle
        var output: FileHandle
    }

    private let pipes: Mutex<Pipes>

    init(_ endpoint: ServiceEndpoint) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        process.arguments = ["-c", Self.script, "\(endpoint.port)"]
        let (input, output) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        try? output.fileHandleForWriting.close()
        pipes = Mutex(
            Pipes(process: process, input: input.fileHandleForWriting, output: output.fileHandleForReading))
        _ = try ask("\(endpoint.username)\n\(endpoint.password.reveal())")
    }

    deinit {
        pipes.withLock { pipes in
            kill(pipes.process.processIdentifier, SIGKILL)
            pipes.process.waitUntilExit()
        }
    }

    func write(_ number: Int) throws { _ = try ask("ADD \(number)") }
    func events() throws -> [Int] { try ask("EVENTS").split(separator: " ").compactMap { Int($0) } }

    private func ask(_ request: String) throws -> String {
        try pipes.withLock { pipes in
            // Writing to one that has ended would end us.
            guard pipes.process.isRunning else { throw HoldfastError(.unavailable, "the app's queue is gone") }
            try pipes.input.write(contentsOf: Data((request + "\n").utf8))
            var answer = Data()
            while answer.last != 10 {
                // What there is; the other ways to read wait for a whole block.
                let more = pipes.output.availableData
                if more.isEmpty {
                    throw HoldfastError(.unavailable, "the app's queue is gone")
                }
                answer += more
            }
            let text = String(decoding: answer, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
            guard text.hasPrefix("OK") else { throw HoldfastError(.damaged, "answered '\(text)'") }
            return String(text.dropFirst(2))
        }
    }
}

/// Writes points whose time is the number.
struct InfluxDBClient: ContractClient {
    private static let patience = Duration.seconds(30)
    private let server: LoopbackHTTP
    private let endpoint: ServiceEndpoint

    init(_ endpoint: ServiceEndpoint) throws {
        self.endpoint = endpoint
        server = LoopbackHTTP(port: endpoint.port, name: "the app's points", time: SystemTime())
        _ = try events()
    }

    func write(_ number: Int) throws {
        let text = "events number=\(number)i,filler=\"\(String(repeating: "x", count: 2000))\" \(number)"
        _ = try ask("POST", "/write?db=\(endpoint.path)", body: text, wanted: 204)
    }

    func events() throws -> [Int] {
        struct Answer: Decodable {
            struct Result: Decodable { var series: [Series]? }
            struct Series: Decodable { var values: [[Int]] }
            var results: [Result]
        }
        let path = "/query?db=\(endpoint.path)&epoch=ns&q=SELECT%20number%20FROM%20events"
        let answer = try JSONDecoder().decode(
            Answer.self, from: Data(try ask("GET", path, body: "", wanted: 200).body))
        return (answer.results.first?.series?.first?.values ?? []).map { $0[1] }
    }

    private func ask(_ method: String, _ path: String, body: String, wanted: Int) throws -> LoopbackHTTP.Answer {
        let credentials = Data("\(endpoint.username):\(endpoint.password.reveal())".utf8).base64EncodedString()
        let answer = try server.ask(
            method, path, fields: ["Authorization": "Basic \(credentials)"], body: Array(body.utf8),
            timeout: Self.patience)
        guard answer.status == wanted else {
            throw HoldfastError(.unavailable, "the app's points: status \(answer.status)")
        }
        return answer
    }
}
