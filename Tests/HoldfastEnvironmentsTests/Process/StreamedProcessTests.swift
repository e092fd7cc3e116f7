import Foundation
import HoldfastEnvironments
import HoldfastModel
import Testing

/// Programs whose input and output pass through.
@Suite(.serialized) struct StreamedProcessTests {
    private func shell(_ command: String) -> ProcessSpecification {
        ProcessSpecification.shell(
            command, environment: ["PATH": "/usr/bin:/bin"], directory: "/tmp", user: .current)
    }

    private func readAll(_ process: StreamedProcess) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            let piece = try process.read()
            if piece.isEmpty { return bytes }
            bytes += piece
        }
    }

    private func waitUntil(_ condition: () -> Bool) -> Bool {
        for _ in 0..<600 {
            if condition() { return true }
            usleep(50_000)
        }
        return false
    }

    /// Whether a process runs with this text among its arguments.
    private func runs(_ mark: String) -> Bool {
        let ids = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return ids.contains { id in
            guard Int32(id) != nil, let data = FileManager.default.contents(atPath: "/proc/\(id)/cmdline") else {
                return false
            }
            return String(decoding: data, as: UTF8.self).contains(mark)
        }
    }

    @Test func `what goes in comes out while both sides move, and the end is told`() throws {
        let process = try StreamedProcess(shell("cat; echo oops >&2; exit 3"))
        let piece = [UInt8](repeating: 66, count: 1 << 16)
        let writer = Thread {
            for _ in 0..<64 { try? process.write(piece) }
            process.closeInput()
        }
        writer.start()
        #expect(try readAll(process).count == 4 << 20)
        #expect(process.outcome?.status == .exited(3))
        #expect(process.outcome?.errors == "oops\n")
    }

    @Test func `writing to a program that has ended is an error and no signal`() throws {
        let process = try StreamedProcess(shell("exec 0<&-; echo gone"))
        #expect(String(decoding: try readAll(process), as: UTF8.self) == "gone\n")
        #expect(throws: HoldfastError.self) {
            for _ in 0..<10 { try process.write([UInt8](repeating: 65, count: 1 << 16)) }
        }
    }

    @Test func `a stop lets programs remove what is half done`() throws {
        let file = "/tmp/holdfast-streamed-\(UInt32.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: file) }
        let process = try StreamedProcess(
            shell("trap 'rm -f \(file); exit 1' TERM; touch \(file); echo ready; while :; do sleep 0.1; done"))
        #expect(String(decoding: try process.read(), as: UTF8.self) == "ready\n")
        process.stop()
        #expect(try readAll(process).isEmpty)
        #expect(!FileManager.default.fileExists(atPath: file))
    }

    @Test func `a stop ends what does not listen to it, with all it has started`() throws {
        let mark = "31\(UInt32.random(in: 100_000 ... 999_999))"
        let process = try StreamedProcess(shell("trap '' TERM; sleep \(mark) & echo ready; sleep \(mark); sleep 1"))
        #expect(String(decoding: try process.read(), as: UTF8.self) == "ready\n")
        process.stop()
        #expect(waitUntil { !runs(mark) })
        #expect(try readAll(process).isEmpty)
    }

    @Test func `nothing is left of a program that nobody holds on to`() throws {
        let mark = "32\(UInt32.random(in: 100_000 ... 999_999))"
        do {
            let process = try StreamedProcess(shell("sleep \(mark) & echo ready; sleep \(mark)"))
            #expect(String(decoding: try process.read(), as: UTF8.self) == "ready\n")
            #expect(runs(mark))
        }
        #expect(waitUntil { !runs(mark) })
    }

    @Test func `what a program leaves behind is ended with it`() throws {
        let mark = "33\(UInt32.random(in: 100_000 ... 999_999))"
        let process = try StreamedProcess(shell("sleep \(mark) >/dev/null 2>&1 & echo done"))
        #expect(String(decoding: try readAll(process), as: UTF8.self) == "done\n")
        #expect(waitUntil { !runs(mark) })
    }
}
