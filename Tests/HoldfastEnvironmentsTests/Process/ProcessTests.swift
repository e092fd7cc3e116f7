import Foundation
import HoldfastEnvironments
import HoldfastModel
import Synchronization
import Testing

private let path = ["PATH": "/usr/bin:/bin"]

private func shell(_ command: String, log: String? = nil) -> ProcessSpecification {
    ProcessSpecification.shell(command, environment: path, directory: "/tmp", user: .current, logFile: log)
}

@Suite(.serialized) struct ProcessTests {
    @Test func `output, errors and status come back apart`() throws {
        let outcome = try ProcessRunner().run(shell("echo out; echo err >&2; exit 3"))
        #expect(outcome.text == "out\n")
        #expect(outcome.errorText == "err")
        #expect(outcome.status == .exited(3))
        #expect(!outcome.isSuccess && !outcome.timedOut)
    }

    @Test func `a signal is told from an exit status`() throws {
        let outcome = try ProcessRunner().run(shell("kill -TERM $$"))
        #expect(outcome.status == .signalled(SIGTERM))
        #expect(outcome.status.exitCode == 143)
    }

    @Test func `lines are given as they come and errors keep their place among them`() throws {
        let lines = Mutex<[String]>([])
        let options = ProcessOptions(mergesErrors: true) { line in lines.withLock { $0.append(line) } }
        let outcome = try ProcessRunner().run(shell("echo one; echo two >&2; printf three"), options: options)
        #expect(lines.withLock { $0 } == ["one", "two", "three"])
        #expect(outcome.text == "one\ntwo\nthree")
    }

    @Test func `input is fed whole and a reader that leaves early is no error`() throws {
        let input = [UInt8](repeating: 65, count: 3 << 20)
        let counted = try ProcessRunner().run(shell("wc -c"), options: ProcessOptions(input: input))
        #expect(counted.text.trimmingCharacters(in: .whitespacesAndNewlines) == "\(3 << 20)")
        let left = try ProcessRunner().run(
            shell("exec 0<&-; sleep 0.1; echo done"), options: ProcessOptions(input: input))
        #expect(left.text == "done\n")
    }

    @Test func `endless output is bounded and both of its ends are kept`() throws {
        let options = ProcessOptions(outputLimit: 10_000)
        let outcome = try ProcessRunner().run(shell("echo first; seq 1 200000; echo last"), options: options)
        #expect(outcome.output.count < 20_000)
        #expect(outcome.text.hasPrefix("first\n"))
        #expect(outcome.text.hasSuffix("last\n"))
        #expect(outcome.text.contains("bytes left out"))
    }

    @Test func `a time-out ends the program and all it started`() throws {
        let file = "/tmp/hf-process-\(UInt64.random(in: 0...UInt64.max))"
        defer { unlink(file) }
        // It does not listen to SIGTERM, and neither does its child.
        var options = ProcessOptions(timeout: .milliseconds(200))
        options.grace = .milliseconds(200)
        let command = "trap '' TERM; sh -c 'trap \"\" TERM; echo $$ > \(file); while :; do sleep 0.05; done' & wait"
        let outcome = try ProcessRunner().run(shell(command), options: options)
        #expect(outcome.timedOut)
        #expect(outcome.status == .signalled(SIGKILL))
        let text = try String(contentsOfFile: file, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
        let child = try #require(Int32(text))
        #expect(ProcessHandle(pid: child)?.isAlive != true)
    }

    @Test func `what a program leaves behind is ended with it`() throws {
        let outcome = try ProcessRunner().run(shell("sleep 300 & echo $!"))
        let child = try #require(Int32(outcome.text.trimmingCharacters(in: .whitespacesAndNewlines)))
        #expect(outcome.isSuccess)
        #expect(ProcessHandle(pid: child)?.isAlive != true)
    }

    @Test func `a process gets exactly the environment it is given`() throws {
        setenv("HOLDFAST_TEST_LEAK", "secret", 1)
        defer { unsetenv("HOLDFAST_TEST_LEAK") }
        var specification = ProcessSpecification(
            executable: "/usr/bin/env", environment: ["A": "1", "B": "x=y z"], directory: "/")
        #expect(try ProcessRunner().run(specification).text == "A=1\nB=x=y z\n")
        specification.environment["BAD=NAME"] = "1"
        let error = #expect(throws: HoldfastError.self) { _ = try ProcessRunner().run(specification) }
        #expect(error?.code == .invalidInput)
    }

    @Test func `a process gets no descriptor of ours and no blocked signal`() throws {
        let file = open("/dev/null", O_RDONLY)
        defer { close(file) }
        let outcome = try ProcessRunner().run(shell("ls /proc/self/fd; grep -E 'SigBlk|SigIgn' /proc/self/status"))
        // 3 is the directory that ls itself reads.
        #expect(outcome.text.hasPrefix("0\n1\n2\n3\nSig"))
        #expect(outcome.text.contains("SigBlk:\t0000000000000000"))
        // Above 31 are those that the C library keeps to itself.
        let ignored = try #require(outcome.text.firstMatch(of: /SigIgn:\t([0-9a-f]{16})/)?.output.1)
        #expect((UInt64(ignored, radix: 16) ?? .max) & 0x7fff_ffff == 0)
    }

    @Test func `what cannot be started says why`() throws {
        let missing = ProcessSpecification(executable: "hf-no-such-program", environment: path, directory: "/")
        #expect(#expect(throws: HoldfastError.self) { _ = try ProcessRunner().run(missing) }?.code == .notFound)
        let absent = ProcessSpecification(executable: "/no/such/file", environment: path, directory: "/")
        let first = #expect(throws: HoldfastError.self) { _ = try ProcessRunner().run(absent) }
        #expect(first?.message == "cannot run '/no/such/file': No such file or directory")
        let nowhere = ProcessSpecification(executable: "/bin/true", environment: path, directory: "/no/such/folder")
        let second = #expect(throws: HoldfastError.self) { _ = try ProcessRunner().run(nowhere) }
        #expect(second?.message.contains("cannot enter '/no/such/folder'") == true)
        let odd = ProcessSpecification(executable: "./true", environment: path, directory: "/bin")
        #expect(#expect(throws: HoldfastError.self) { _ = try ProcessRunner().run(odd) }?.code == .invalidInput)
    }

    @Test(.enabled(if: geteuid() == 0)) func `another user's process has none of our rights`() throws {
        let nobody = try #require(try ProcessUser.lookUp(name: "nobody"))
        var specification = shell("id -u; id -g; id -G; cat /etc/shadow")
        specification.user = nobody
        let outcome = try ProcessRunner().run(specification)
        #expect(outcome.text == "\(nobody.uid)\n\(nobody.gid)\n\(nobody.gid)\n")
        #expect(outcome.errorText.contains("Permission denied"))
    }

    @Test(.enabled(if: geteuid() == 0)) func `an environment's user is made once`() throws {
        let environment = EnvironmentID.random()
        let user = try ProcessUser.forEnvironment(environment)
        defer {
            _ = try? ProcessRunner().run(
                ProcessSpecification.shell(
                    "userdel \(user.name)", environment: ["PATH": "/usr/sbin:/usr/bin:/bin"], directory: "/",
                    user: .current))
        }
        #expect(user.name == "hf-\(environment)")
        #expect(user.uid != 0)
        #expect(try ProcessUser.forEnvironment(environment) == user)
        let error = #expect(throws: HoldfastError.self) {
            _ = try ProcessUser.forEnvironment(environment, named: "hf-nobody-of-that-name")
        }
        #expect(error?.code == .notFound)
    }

    @Test func `a detached process writes to its log, in a session of its own`() throws {
        let log = "/tmp/hf-process-\(UInt64.random(in: 0...UInt64.max)).log"
        defer { unlink(log) }
        let handle = try DetachedProcess.spawn(shell("echo out; echo err >&2", log: log))
        #expect(handle.wait(timeout: .seconds(5)) == .exited(0))
        #expect(try String(contentsOfFile: log, encoding: .utf8) == "out\nerr\n")
        let sleeper = try DetachedProcess.spawn(shell("sleep 300"))
        #expect(ProcessTable.entry(sleeper.pid)?.session == sleeper.pid)
        sleeper.killSession()
        #expect(sleeper.wait(timeout: .seconds(5)) == .signalled(SIGKILL))
    }

    @Test func `a log that is a link is not followed`() throws {
        let link = "/tmp/hf-process-\(UInt64.random(in: 0...UInt64.max)).log"
        symlink("/tmp/hf-elsewhere", link)
        defer { unlink(link) }
        #expect(throws: HoldfastError.self) { _ = try DetachedProcess.spawn(shell("echo x", log: link)) }
        #expect(access("/tmp/hf-elsewhere", F_OK) != 0)
    }

    @Test func `a later process with the same number is another one`() throws {
        let sleeper = try DetachedProcess.spawn(shell("sleep 300"))
        defer {
            sleeper.killSession()
            _ = sleeper.wait(timeout: .seconds(5))
        }
        let earlier = ProcessHandle(pid: sleeper.pid, startTime: sleeper.startTime - 1)
        #expect(sleeper.isAlive)
        #expect(!earlier.isAlive)
        #expect(!earlier.signal(SIGKILL))
        #expect(earlier.wait(timeout: .seconds(5), reap: false) == .unknown)
        #expect(sleeper.isAlive)
        #expect(sleeper.wait(timeout: .milliseconds(20)) == nil)
    }

    /// A killed supervisor whose first thread had gone before the others seemed dead while it still listened.
    @Test func `a process whose first thread has ended lives as long as another one`() throws {
        let program = """
            import ctypes, threading, time
            threading.Thread(target=time.sleep, args=(300,)).start()
            ctypes.CDLL(None).pthread_exit(None)
            """
        let handle = try DetachedProcess.spawn(
            ProcessSpecification(
                executable: "/usr/bin/python3", arguments: ["-c", program], environment: path, directory: "/tmp"))
        #expect(eventually { ProcessTable.entry(handle.pid)?.state == "Z" })
        #expect(handle.isAlive)
        #expect(handle.wait(timeout: .milliseconds(50)) == nil)
        handle.killSession()
        #expect(handle.wait(timeout: .seconds(5)) == .signalled(SIGKILL))
    }

    @Test func `a process's name cannot forge its numbers`() throws {
        let numbers = (0..<40).map { String($0) }.joined(separator: " ")
        let entry = try #require(ProcessTable.parse("77 (a) R 1 2 3) S 5 6 9 " + numbers))
        #expect(entry.pid == 77 && entry.parent == 5 && entry.session == 9 && entry.state == "S")
        #expect(entry.threads == 13 && entry.startTime == 15)
        #expect(ProcessTable.parse("77 (short) S 1") == nil)
        #expect(ProcessTable.parse("nonsense") == nil)
    }
}
