import Foundation
import HoldfastModel

/// `recovery-kit-made.json`: that a recovery kit was written, when, and for which sites. Not where: the kit is to be
/// elsewhere, and nothing here opens anything.
struct KitRecord: Codable {
    var createdAt: Date
    /// Site -> path, as the kit has them.
    var sites: [String: String]

    init(_ kit: RecoveryKit) {
        createdAt = kit.createdAt
        sites = Self.places(kit.settings)
    }

    static func places(_ settings: Settings) -> [String: String] {
        Dictionary(settings.sites.map { ($0.name, $0.path) }) { first, _ in first }
    }

    func write(_ home: StateDirectory) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .iso8601
        try home.writePrivate(String(decoding: try encoder.encode(self), as: UTF8.self) + "\n", to: home.kitRecord)
    }

    /// Nil if none was ever written, or the record cannot be read.
    static func read(_ home: StateDirectory) -> KitRecord? {
        guard let data = FileManager.default.contents(atPath: home.kitRecord) else { return nil }
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        return try? decoder.decode(KitRecord.self, from: data)
    }
}
