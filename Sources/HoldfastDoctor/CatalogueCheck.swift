import Foundation
import HoldfastCatalogue
import HoldfastModel

/// The database file.
package struct CatalogueCheck: Sendable {
    let path: String

    package init(path: String) { self.path = path }

    /// - Returns: with the findings what was read; nil if nothing could be.
    package func findings() -> (findings: [Finding], inspection: CatalogueInspection?) {
        let (check, advice) = ("catalogue", "Stop serve, and put back a copy, or use catalogue:rebuild with a kit")
        do {
            let inspection = try Catalogue.inspect(path)
            var found = inspection.problems.map { Finding.wrong(check, "\(path) is damaged: \($0)", advice) }
            switch inspection.schema {
            case .current: break
            case .older:
                found.append(
                    .note(check, "\(path) is of an older version", "Restart serve, which brings it forward"))
            case .newer:
                found.append(
                    .wrong(check, "\(path) was written by a newer version", "Install that version of holdfast again"))
            }
            return (found.orGood(check, "the catalogue is whole"), inspection)
        } catch {
            return ([.wrong(check, error, advice)], nil)
        }
    }
}
