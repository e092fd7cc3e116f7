import HoldfastBackup
import HoldfastCatalogue
import HoldfastDoctor
import HoldfastNotifications
import HoldfastRetention
import HoldfastServer

// The catalogue is where activities and backups are recorded.
extension Catalogue: BackupCatalogue {}

// The doctor looks into it.
extension Catalogue: DoctorCatalogue {}

// It also remembers what was told to whom.
extension Catalogue: NoticeCatalogue {}
