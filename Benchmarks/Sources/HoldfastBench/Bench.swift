// HoldfastBench: compares the engine with restic on this machine.
//
// `run` lets both tools do the same steps in turn, each as a process of its own, and reports medians. `corpus` makes
// and changes what they back up, and `engine` does one step with our engine: both are this very program, started again
// by `run`, so that no memory of one step is counted for another.

import Foundation

@main
enum Bench {
    static func main() {
        do {
            try dispatch(Array(CommandLine.arguments.dropFirst()))
        } catch {
            FileHandle.standardError.write(Data("holdfast-bench: \(error)\n".utf8))
            exit(1)
        }
    }

    private static func dispatch(_ arguments: [String]) throws {
        let rest = Array(arguments.dropFirst())
        switch arguments.first {
        case "run": try Run(Options(rest)).run()
        case "corpus": try CorpusCommand.run(rest)
        case "engine": try EngineCommand.run(rest)
        case nil, "help", "--help", "-h": FileHandle.standardOutput.write(Data(Options.help.utf8))
        case let other?: throw BenchError("'\(other)' is not a command; see holdfast-bench help")
        }
    }
}
