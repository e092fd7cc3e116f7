/// Which packs a check reads and verifies, blob by blob.
public enum ReadData: Sendable, Hashable {
    /// None: packs are compared by size, and only trees are read.
    case none
    /// Every pack.
    case all
    /// So many percent of the packs, chosen anew each time; at least one.
    case percent(Double)
    /// The n-th of m parts, counted from 1: m checks with every n read everything once. The same pack is always in the
    /// same part.
    case part(Int, of: Int)

    /// The packs to read.
    func choose(from packs: [ObjectID], using generator: inout some RandomNumberGenerator) -> [ObjectID] {
        switch self {
        case .none: return []
        case .all: return packs
        case .percent(let percent):
            let count = (Double(packs.count) * percent / 100).rounded(.up)
            return Array(packs.shuffled(using: &generator).prefix(max(Int(count), 1)))
        case .part(let number, let parts):
            return packs.filter { $0.prefix % UInt64(parts) == UInt64(number - 1) }
        }
    }

    /// What is wrong with it, for people; nil if it can be done.
    var fault: String? {
        switch self {
        case .none, .all: nil
        case .percent(let percent):
            percent > 0 && percent <= 100 ? nil : "\(percent) is not a percentage above 0, and at most 100"
        case .part(let number, let parts):
            parts > 0 && (1...parts).contains(number) ? nil : "there is no part \(number) of \(parts)"
        }
    }
}
