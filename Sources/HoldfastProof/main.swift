// HoldfastProof: the engine in processes of its own, for tests that kill them or let them meet, the fuzzer, the oracle
// and the benchmark of the hold. Not part of what is installed.

import Foundation
import HoldfastDemo
import HoldfastModel

do {
    let arguments = Array(CommandLine.arguments.dropFirst())
    let rest = Array(arguments.dropFirst())
    switch arguments.first {
    case "fuzz": exit(try FuzzCommand.run(rest))
    case "bench-hold": try await HoldCommand.bench(rest)
    case "oracle": try await HoldCommand.oracle(rest)
    case "load" where rest.count == 2: try await LoadProcess.run(rest[0], outcomesTo: rest[1])
    default: try EngineCommand.run(arguments)
    }
} catch {
    FileHandle.standardError.write(Data("\(error)\n".utf8))
    exit((error as? HoldfastError)?.code == .locked ? 11 : 1)
}
