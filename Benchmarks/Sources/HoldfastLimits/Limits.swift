// HoldfastLimits: what this machine can do at most, one thing at a time, on one thread. Whoever starts it measures the
// process; it prints how many bytes it dealt with.

import CBenchLibraries
import Glibc

@main
enum Limits {
    private static let piece = 1 << 20
    /// So many pieces are hashed or encrypted, over and over the same memory.
    private static let pieces = 1024

    /// Arguments: what to do, the corpus, and a folder that may be made.
    static func main() {
        let words = CommandLine.arguments
        guard words.count == 4, let bytes = run(words[1], corpus: words[2], target: words[3]) else {
            let message = "holdfast-limits is called by holdfast-bench\n"
            _ = Glibc.write(2, message, message.utf8.count)
            exit(1)
        }
        puts("\(bytes)")
    }

    private static func run(_ name: String, corpus: String, target: String) -> Int? {
        switch name {
        case "stat": return walk(corpus) { _, size in size }
        case "read":
            return withBuffer { buffer in walk(corpus) { path, _ in read(path, buffer) ?? 0 } }
        case "write":
            return withBuffer { buffer in
                mkdir(target, 0o700)
                var number = 0
                return walk(corpus) { _, size in
                    number += 1
                    if number % 1000 == 1 { mkdir("\(target)/\(number / 1000)", 0o700) }
                    return write("\(target)/\((number - 1) / 1000)/\(number)", size, buffer)
                }
            }
        case "sha256": return withBuffer { hash($0) }
        case "aes": return withBuffer { encrypt($0) }
        case "compress": return compress(corpus, decompressing: false)
        case "decompress": return compress(corpus, decompressing: true)
        default: return nil
        }
    }

    private static func withBuffer(_ body: (UnsafeMutableRawBufferPointer) -> Int?) -> Int? {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: piece, alignment: 64)
        defer { buffer.deallocate() }
        var state: UInt32 = 1
        for index in buffer.indices {
            state = state &* 1_664_525 &+ 1_013_904_223
            buffer[index] = UInt8(state >> 24)
        }
        return body(buffer)
    }

    // MARK: Files

    /// Calls `body` with path and size of every file, and sums up what it returns.
    private static func walk(_ directory: String, _ body: (String, Int) -> Int) -> Int? {
        guard let stream = opendir(directory) else { return nil }
        defer { closedir(stream) }
        var sum = 0
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name == "." || name == ".." { continue }
            var status = stat()
            guard fstatat(dirfd(stream), name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return nil }
            if status.st_mode & S_IFMT == S_IFDIR {
                guard let inner = walk("\(directory)/\(name)", body) else { return nil }
                sum += inner
            } else {
                sum += body("\(directory)/\(name)", Int(status.st_size))
            }
        }
        return sum
    }

    private static func read(_ path: String, _ buffer: UnsafeMutableRawBufferPointer) -> Int? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var sum = 0
        while case let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count), count > 0 { sum += count }
        return sum
    }

    private static func write(_ path: String, _ size: Int, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return 0 }
        defer { close(descriptor) }
        var done = 0
        while done < size {
            let count = Glibc.write(descriptor, buffer.baseAddress, min(buffer.count, size - done))
            guard count > 0 else { return done }
            done += count
        }
        return done
    }

    // MARK: Memory

    private static func hash(_ buffer: UnsafeMutableRawBufferPointer) -> Int? {
        guard let context = EVP_MD_CTX_new() else { return nil }
        defer { EVP_MD_CTX_free(context) }
        var digest = [UInt8](repeating: 0, count: 32)
        for _ in 0..<pieces {
            guard EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1,
                EVP_DigestUpdate(context, buffer.baseAddress, buffer.count) == 1,
                EVP_DigestFinal_ex(context, &digest, nil) == 1
            else { return nil }
        }
        return pieces * piece
    }

    private static func encrypt(_ buffer: UnsafeMutableRawBufferPointer) -> Int? {
        guard let context = EVP_CIPHER_CTX_new() else { return nil }
        defer { EVP_CIPHER_CTX_free(context) }
        let key = [UInt8](repeating: 7, count: 32)
        guard EVP_EncryptInit_ex(context, EVP_aes_256_ctr(), nil, key, key) == 1 else { return nil }
        let bytes = buffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
        var written: Int32 = 0
        for _ in 0..<pieces {
            guard EVP_EncryptUpdate(context, bytes, &written, bytes, Int32(buffer.count)) == 1 else { return nil }
        }
        return pieces * piece
    }

    /// Level 2, as the engine, over the text of the corpus in pieces of 1 MiB; or the decompression of one piece as
    /// often as it takes to get as much.
    private static func compress(_ corpus: String, decompressing: Bool) -> Int? {
        let plain = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * piece, alignment: 64)
        var filled = 0
        let found = walk(corpus) { path, size in
            guard path.hasSuffix(".txt"), filled + size + piece < plain.count else { return 0 }
            filled += read(path, UnsafeMutableRawBufferPointer(rebasing: plain[filled..<filled + piece])) ?? 0
            return size
        }
        guard found != nil, filled >= piece, let base = plain.baseAddress, let context = ZSTD_createCCtx(),
            let opener = ZSTD_createDCtx()
        else { return nil }
        let packed = UnsafeMutableRawBufferPointer.allocate(byteCount: ZSTD_compressBound(piece), alignment: 64)
        let result = UnsafeMutableRawBufferPointer.allocate(byteCount: piece, alignment: 64)
        var sum = 0
        for number in 0..<pieces / 4 {
            let start = base + number % (filled / piece) * piece
            if number == 0 || !decompressing {
                let size = ZSTD_compressCCtx(context, packed.baseAddress, packed.count, start, piece, 2)
                guard ZSTD_isError(size) == 0 else { return nil }
                if decompressing { sum = size }
            }
            if decompressing {
                let size = ZSTD_decompressDCtx(opener, result.baseAddress, piece, packed.baseAddress, sum)
                guard ZSTD_isError(size) == 0 else { return nil }
            }
        }
        return pieces / 4 * piece
    }
}
