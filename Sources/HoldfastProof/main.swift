// HoldfastProof: the engine in processes of its own, for tests that kill them or let them meet, and the fuzzer.
// Not part of what is installed.

import Foundation
import HoldfastModel

do {
    let arguments = Array(CommandLine.arguments.dropFirst())
    if arguments.first == "fuzz" {
        exit(try FuzzCommand.run(Array(arguments.dropFirst())))
    }
    try EngineCommand.run(arguments)
} catch {
    FileHandle.standardError.write(Data("\(error)\n".utf8))
    exit((error as? HoldfastError)?.code == .locked ? 11 : 1)
}
