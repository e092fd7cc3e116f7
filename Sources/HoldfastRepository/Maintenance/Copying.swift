import HoldfastBlobStore
import HoldfastModel

/// What a copy from one repository into another one would do.
package struct CopyPlan: Sendable {
    /// To be copied, oldest first.
    package let snapshots: [SnapshotRecord]
    /// There already, as the same or as a copy.
    package let present: [SnapshotRecord]
    package let blobs: Int
    /// Sealed, as they lie in the source.
    package let bytes: Int64

    let selections: [PackSelection]
}

/// What a copy did.
package struct CopyReport: Sendable {
    /// Source and copy.
    package internal(set) var snapshots: [(source: SnapshotRecord, copy: SnapshotID)] = []
    /// Not copied: there already, as the same or as a copy.
    package internal(set) var present: [SnapshotRecord] = []
    package internal(set) var blobs = 0
    package internal(set) var bytesWritten: Int64 = 0
}

extension Repository {
    /// After so many bytes of packs an index is stored, so that a copy that was interrupted goes on from there.
    private static let copyStep = 2 << 30

    /// Works out what of some snapshots another repository lacks. Changes nothing.
    ///
    /// - Throws: `damaged` if a tree cannot be read, or if a blob is in no pack.
    package func planCopy(of records: [SnapshotRecord], into target: Repository) throws -> CopyPlan {
        var known: [SnapshotID: [SnapshotRecord]] = [:]
        for record in try target.records() {
            for id in [record.id, record.original].compactMap({ $0 }) { known[id, default: []].append(record) }
        }
        var missing: [SnapshotRecord] = []
        var present: [SnapshotRecord] = []
        for record in records {
            let copies = known[record.original ?? record.id] ?? []
            if copies.contains(where: { $0.isCopy(of: record) }) {
                present.append(record)
            } else {
                missing.append(record)
            }
        }
        let index = try currentIndex()
        let there = try target.currentIndex()
        var byPack: [ObjectID: [PackEntry]] = [:]
        var bytes: Int64 = 0
        var blobs = 0
        for blob in try usedBlobs(of: missing.map(\.id.object), index) where !there.contains(blob.id, blob.type) {
            guard let (location, pack) = index.locate(blob.id, blob.type) else {
                throw HoldfastError(.damaged, "\(blob.type.name) blob \(blob.id) is in no pack")
            }
            let plain = location.isCompressed ? UInt32(location.plainLength) : nil
            byPack[pack, default: []].append(
                PackEntry(
                    id: blob.id, type: blob.type, offset: location.offset, length: location.length,
                    uncompressedLength: plain))
            bytes += Int64(location.length)
            blobs += 1
        }
        let selections = byPack.sorted { $0.key.description < $1.key.description }.map { pack, entries in
            PackSelection(pack: pack, entries: entries.sorted { $0.offset < $1.offset })
        }
        return CopyPlan(snapshots: missing, present: present, blobs: blobs, bytes: bytes, selections: selections)
    }

    /// Copies snapshots into another repository: every blob is opened, verified, and sealed with the other key.
    ///
    /// Wherever it stops, the target is whole, and the next copy goes on: packs, their index, and at the end snapshots.
    /// If somebody took the target's lock for stale, a prune may have removed what the copies need: as in a backup the
    /// lock is looked for before and after each of these steps, and what was stored without it is taken back.
    ///
    /// - Parameters:
    ///   - meter: counts the sealed bytes of the source.
    ///   - isLocked: the caller holds a lock in the source already.
    /// - Throws: `locked`, also if the lock was lost; `damaged` naming a blob of which no copy is intact; and what
    ///   either store throws.
    package func copy(
        of records: [SnapshotRecord], into target: Repository, meter: ProgressMeter? = nil, isLocked: Bool = false
    ) throws -> CopyReport {
        let lock = try isLocked ? nil : lockForReading()
        defer { lock?.release() }
        return try copyLocked(of: records, into: target, meter)
    }

    private func copyLocked(
        of records: [SnapshotRecord], into target: Repository, _ meter: ProgressMeter?
    ) throws -> CopyReport {
        let lock = try LockKeeper.take(target.files, isExclusive: false, time: target.time)
        defer { lock.release() }
        let plan = try planCopy(of: records, into: target)
        meter?.expect(bytes: plan.bytes)
        var report = CopyReport()
        report.present = plan.present
        report.blobs = plan.blobs
        var step: [PackSelection] = []
        var size = 0
        for selection in plan.selections {
            step.append(selection)
            size += selection.entries.reduce(0) { $0 + Int($1.length) }
            guard size >= Self.copyStep else { continue }
            report.bytesWritten += try copy(step, into: target, under: lock, meter)
            step = []
            size = 0
        }
        report.bytesWritten += try copy(step, into: target, under: lock, meter)
        try lock.requireHeld()
        for record in plan.snapshots {
            let id = try target.files.save(record.encodedCopy(), as: .snapshot)
            report.snapshots.append((record, SnapshotID(id)))
        }
        let names = report.snapshots.map { BlobName(kind: .snapshot, name: $0.copy.description) }
        try target.requireHeld(lock, orTakeBack: names)
        return report
    }

    /// Copies blobs into new packs of the target, and indexes them.
    private func copy(
        _ selections: [PackSelection], into target: Repository, under lock: LockKeeper, _ meter: ProgressMeter?
    ) throws -> Int64 {
        if selections.isEmpty { return 0 }
        let packs = PackWriter(store: target.store, key: target.key, gate: WorkGate())
        packs.start()
        defer { packs.close() }
        try forEachInParallel(selections, "holdfast-copy") { [self] in
            let reader = try reader(BlobIndex())
            let sealing = try SealingContext(target.key)
            let compressor = try Compressor()
            let scratch = try RawBuffer(capacity: 64 << 10)
            return { selection in
                try reader.copyBlobs(of: selection) { entry, _, plain in
                    let compressed = try compressor.compress(plain, scratch: scratch)
                    _ = try packs.fill(entry.type, mayWait: true, sealing: sealing) { pack in
                        try pack.append(
                            entry.id, payload: compressed ?? plain,
                            uncompressedLength: compressed == nil ? nil : plain.count, sealing: sealing)
                    }
                    meter?.add(items: 1, bytes: Int(entry.length))
                }
            }
        }
        let written = try packs.flush(sealing: SealingContext(target.key))
        try lock.requireHeld()
        let names = try target.saveIndex(written).map { BlobName(kind: .index, name: $0.description) }
        try target.requireHeld(lock, orTakeBack: names)
        return written.reduce(0) { $0 + Int64($1.size) }
    }
}
