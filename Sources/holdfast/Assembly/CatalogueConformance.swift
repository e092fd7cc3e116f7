import HoldfastBackup
import HoldfastCatalogue
import HoldfastRetention
import HoldfastServer

// The catalogue is where activities and backups are recorded.
extension Catalogue: BackupCatalogue {}
