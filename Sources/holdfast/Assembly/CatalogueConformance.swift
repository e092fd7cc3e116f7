import HoldfastBackup
import HoldfastCatalogue
import HoldfastNotifications
import HoldfastRetention
import HoldfastServer

// The catalogue is where activities and backups are recorded.
extension Catalogue: BackupCatalogue {}

// It also remembers what was told to whom.
extension Catalogue: NoticeCatalogue {}
