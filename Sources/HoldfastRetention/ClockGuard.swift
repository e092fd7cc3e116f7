/// Tells when the wall clock cannot be trusted: it moved otherwise than the clock that only counts.
///
/// While it is not trusted nothing is deleted. A wrong clock must not be able to empty a shelf.
public struct ClockGuard: Sendable, Hashable, Codable {
    /// A difference of more seconds than this is a jump.
    public static let tolerance = 300
    /// Trust returns after so many seconds without another jump, or at once when the clock is back where it should be.
    public static let quarantine = 86_400

    /// Wall clock minus counting clock when it was first trusted, in seconds.
    private var offset: Int
    /// When the last jump was seen, by the counting clock, in seconds.
    private var jumpedAt: Int?
    /// The offset since that jump.
    private var jumpedOffset: Int?

    /// - Parameters:
    ///   - wall: seconds since 1970.
    ///   - counting: seconds of a clock that never jumps, from any beginning.
    public init(wall: Int, counting: Int) { offset = wall - counting }

    /// Looks at both clocks; call it at every tick.
    ///
    /// - Returns: by how many seconds the wall clock is off while it is not trusted; nil if it is.
    public mutating func check(wall: Int, counting: Int) -> Int? {
        let current = wall - counting
        if abs(current - offset) <= Self.tolerance {
            (jumpedAt, jumpedOffset) = (nil, nil)
            // Clocks drift, and are put right by small steps: follow them.
            offset = current
            return nil
        }
        if let known = jumpedOffset, let at = jumpedAt, abs(current - known) <= Self.tolerance {
            guard counting - at < Self.quarantine else {
                (offset, jumpedAt, jumpedOffset) = (current, nil, nil)
                return nil
            }
            jumpedOffset = current
        } else {
            (jumpedAt, jumpedOffset) = (counting, current)
        }
        return current - offset
    }
}
