import Foundation
import HoldfastModel

/// A directory on a file system of a kind of its own: a given directory, or an image file that is mounted.
struct ScratchVolume {
    static let kinds = ["ext4", "xfs", "btrfs"]

    /// Where to work; everything in it goes with the volume.
    let directory: String
    /// What it is called in a table.
    let name: String
    private let image: String?

    /// - Parameters:
    ///   - filesystem: one of `kinds`, which takes root, or an absolute path of a directory.
    ///   - megabytes: size of an image.
    ///   - base: where images and mount points are made.
    init(_ filesystem: String, megabytes: Int, in base: String) throws {
        let place = "\(base)/holdfast-bench-\(ProcessInfo.processInfo.processIdentifier)"
        guard Self.kinds.contains(filesystem) else {
            guard filesystem.hasPrefix("/") else {
                throw HoldfastError(
                    .invalidInput, "'\(filesystem)' is no file system that can be made here",
                    hint: "Use one of \(Self.kinds.joined(separator: ", ")), or the absolute path of a directory")
            }
            name = try Self.name(of: filesystem)
            directory = "\(filesystem)/\((place as NSString).lastPathComponent)"
            image = nil
            try Self.make(directory)
            return
        }
        guard geteuid() == 0 else {
            throw HoldfastError(
                .forbidden, "an image of \(filesystem) can only be mounted by root",
                hint: "Give a directory on such a file system instead")
        }
        name = try Self.name(of: filesystem)
        directory = "\(place)/volume"
        let file = "\(place)/image"
        image = file
        try Self.make(directory)
        do {
            guard truncate(file, 0) == 0 || FileManager.default.createFile(atPath: file, contents: nil),
                truncate(file, off_t(megabytes) << 20) == 0
            else { throw HoldfastError(.system, "cannot make '\(file)' (errno \(errno))") }
            // A million small files are more than mkfs expects.
            let options = ["ext4": ["-q", "-F", "-i", "8192"], "xfs": ["-q", "-f"], "btrfs": ["-q", "-f"]]
            _ = try DemoHouse.capture(
                "/usr/sbin/mkfs.\(filesystem)", (options[filesystem] ?? []) + [file], environment: nil)
            _ = try DemoHouse.capture("/usr/bin/mount", ["-o", "loop", file, directory], environment: nil)
        } catch {
            try? FileManager.default.removeItem(atPath: place)
            throw error
        }
    }

    private static func make(_ directory: String) throws {
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o711])
    }

    /// What a volume is called: its kind, or as the system names the file system of a directory.
    static func name(of filesystem: String) throws -> String {
        if kinds.contains(filesystem) { return filesystem }
        return try DemoHouse.capture("/usr/bin/stat", ["-f", "-c", "%T", filesystem], environment: nil)
            .trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Unmounts and removes everything.
    func remove() {
        guard image != nil else { return _ = try? FileManager.default.removeItem(atPath: directory) }
        for _ in 0..<50 {
            if (try? DemoHouse.capture("/usr/bin/umount", [directory], environment: nil)) != nil { break }
            Thread.sleep(forTimeInterval: 0.2)
        }
        try? FileManager.default.removeItem(atPath: (directory as NSString).deletingLastPathComponent)
    }
}
