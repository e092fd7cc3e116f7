import CHoldfastFiles
import Foundation
import Glibc
import HoldfastModel
import HoldfastTestSupport

/// Makes directories that hold something of everything.
enum RandomTree {
    /// One of each kind, with names, modes, owners and times that are easily lost.
    static func makeZoo(_ path: String, using generator: inout SeededGenerator) throws {
        try makeDirectory(path + "/sub/empty")
        try writeFile(path + "/text", String(repeating: "all work and no play\n", count: 5000))
        try writeFile(path + "/empty-file", "")
        try writeFile(path + "/one", "1")
        try writeFile(path + "/random", generator.bytes(700_000))
        try writeFile(path + "/sub/large", generator.bytes(9 << 20))
        try writeFile(path + "/sub/zeros", [UInt8](repeating: 0, count: 3 << 20))
        link(path + "/one", path + "/sub/same-as-one")
        link(path + "/random", path + "/another-random")
        symlink("one", path + "/link")
        symlink("/nowhere/at/all", path + "/dangling")
        mkfifo(path + "/pipe", 0o640)
        for name in oddNames {
            withPath(path, name) { name in
                let descriptor = open(name, O_WRONLY | O_CREAT, 0o600)
                write(descriptor, "odd", 3)
                close(descriptor)
            }
        }
        chmod(path + "/text", 0o4755)
        chmod(path + "/sub", 0o1777)
        chmod(path + "/one", 0o400)
        _ = holdfast_lsetxattr(path + "/text", "user.colour", "blue", 4)
        _ = holdfast_lsetxattr(path + "/sub", "user.empty", nil, 0)
        if geteuid() == 0 {
            chown(path + "/random", 12345, 54321)
            lchown(path + "/link", 12345, 54321)
            mknod(path + "/null", S_IFCHR | 0o666, dev_t(holdfast_makedev(1, 3)))
            chmod(path + "/null", 0o666)
        }
        setTime(path + "/text", 1_000_000_000, 123_456_789)
        setTime(path + "/sub/large", 1, 1)
        setTime(path + "/link", 1_234_567_890, 987_654_321)
        setTime(path + "/sub/empty", -86_400 * 365, 5)
    }

    static let oddNames: [[UInt8]] = [
        [0xFF, 0xFE, 0x41], Array("with \"quotes\" and \\".utf8), Array("new\nline\ttab\u{7}".utf8),
        Array("é and e\u{301}".utf8), Array("<html>&amp;".utf8), Array("\u{2028}\u{200B}\u{1F600}".utf8),
        [0x61, 0xC3], Array("\\x41".utf8), [0x7F, 0x80], Array(" .. ".utf8),
    ]

    static func setTime(_ path: String, _ seconds: Int, _ nanoseconds: Int) {
        let times = [timespec(tv_sec: seconds, tv_nsec: nanoseconds), timespec(tv_sec: seconds, tv_nsec: nanoseconds)]
        utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW)
    }

    /// Directories with files of many sizes, some of them alike.
    static func makeMany(_ path: String, files: Int, using generator: inout SeededGenerator) throws {
        var bytes: [UInt8] = []
        for number in 0..<files {
            let directory = path + "/d\(number % 7)/e\(number % 3)"
            try makeDirectory(directory)
            if number % 4 != 3 { bytes = generator.bytes(Int.random(in: 0..<40_000, using: &generator)) }
            try writeFile(directory + "/f\(number)", bytes)
        }
    }

    /// Changes a directory in all the ways that a program can: returns what was done, for messages.
    static func disturb(_ path: String, using generator: inout SeededGenerator) throws -> [String] {
        var done: [String] = []
        let files = (FileManager.default.enumerator(atPath: path)?.allObjects as? [String] ?? []).sorted().filter {
            var status = stat()
            return lstat(path + "/" + $0, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
        }
        for file in files {
            let full = path + "/" + file
            switch Int.random(in: 0..<12, using: &generator) {
            case 0: unlink(full)
            case 1: try writeFile(full, generator.bytes(Int.random(in: 0..<60_000, using: &generator)))
            case 2: truncate(full, 100)
            case 3: chmod(full, 0o604)
            case 4: rename(full, full + ".moved")
            // An earlier round may have made a directory of a file with this name.
            case 5: try writeFile("\(full).\(generator.next())", generator.bytes(1000))
            case 6:
                unlink(full)
                symlink("somewhere", full)
            case 7:
                unlink(full)
                try makeDirectory(full)
                try writeFile(full + "/inside", "was a file")
            default: continue
            }
            done.append(file)
        }
        return done
    }
}
