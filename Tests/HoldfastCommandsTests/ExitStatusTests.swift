import Foundation
import HoldfastCommands
import HoldfastModel
import Testing

@Suite struct ExitStatusTests {
    @Test func `every kind of error has the status of the contract`() {
        let expected: [HoldfastError.Code: Int32] = [
            .invalidInput: 1, .notFound: 1, .conflict: 1, .unauthenticated: 3, .forbidden: 6, .unavailable: 5,
            .damaged: 1, .wrongPassword: 1, .locked: 1, .noSpace: 1, .timedOut: 5, .cancelled: 130, .unsupported: 1,
            .system: 1, .internalFault: 1,
        ]
        for code in HoldfastError.Code.allCases {
            #expect(ExitStatus(of: HoldfastError(code, "x")).rawValue == expected[code], "\(code)")
        }
    }

    @Test func `a failure with a status of its own keeps it`() {
        let error = HoldfastError(.notFound, "project 'x' does not exist")
        #expect(ExitStatus(of: CommandFailure(.projectNotFound, error)).rawValue == 9)
        #expect(ExitStatus(of: CancellationError()).rawValue == 130)
    }

    @Test func `an error is a message and a hint in two lines`() {
        let error = HoldfastError(.notFound, "there is no 'x'", hint: "Use 'y'", cause: CancellationError())
        #expect(CommandRunner.text(of: error) == "Error: there is no 'x'\nUse 'y'.")
    }
}
