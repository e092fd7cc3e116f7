import HoldfastRepository

extension CaptureStatistics {
    /// One line for people.
    var summary: String {
        "\(files) files, \(ByteCount(bytes)), read \(ByteCount(bytesRead)), new \(ByteCount(bytesAdded))"
    }
}
