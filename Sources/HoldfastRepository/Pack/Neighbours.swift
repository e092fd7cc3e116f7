/// Which blobs of a pack are read with one call.
enum Neighbours {
    /// Blobs that are so close together are, what lies between them included.
    private static let largestGap = 256 << 10

    /// How far a group of blobs goes.
    ///
    /// - Parameters:
    ///   - numbers: of the blobs, by their offsets; not empty. The group begins with the first.
    ///   - longest: of the range in bytes, unless one blob is longer.
    ///   - range: where a blob lies; nil if it lies in another pack.
    /// - Returns: the number after the last of the group, and where all of it lies; nil if the first lies nowhere.
    static func group(
        _ numbers: Range<Int>, longest: Int, _ range: (Int) -> Range<Int>?
    ) -> (end: Int, range: Range<Int>)? {
        guard var all = range(numbers.lowerBound) else { return nil }
        var end = numbers.lowerBound + 1
        while end < numbers.upperBound, let next = range(end), next.lowerBound <= all.upperBound + largestGap,
            next.upperBound - all.lowerBound <= longest || next.upperBound <= all.upperBound
        {
            all = all.lowerBound..<max(all.upperBound, next.upperBound)
            end += 1
        }
        return (end, all)
    }
}
