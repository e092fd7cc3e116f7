import HoldfastBackup
import HoldfastCatalogue

// The catalogue is where activities and backups are recorded.
extension Catalogue: BackupCatalogue {}
