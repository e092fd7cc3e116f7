/// Files that a database changes page by page, in place: PostgreSQL's relations.
///
/// A change there moves nothing, so cuts at fixed places find what did not change at least as well as cuts that follow
/// the content, and can lie closer together: one changed page costs one chunk.
enum PageFile {
    static let pageSize = 8192
    /// 32 pages. Smaller ones store less after changes, and take more room in the index.
    static let chunkSize = 256 << 10

    /// Whether a file begins with pages of PostgreSQL.
    ///
    /// - Parameters:
    ///   - start: the file's first bytes.
    ///   - size: of the whole file.
    static func isRecognised(_ start: UnsafeRawBufferPointer, size: Int) -> Bool {
        guard size > chunkSize, size % pageSize == 0, start.count >= 2 * pageSize else { return false }
        let last = (start.count / pageSize - 1) * pageSize
        return hasHeader(start, at: 0) && (hasHeader(start, at: last) || isUnused(start, at: last))
    }

    /// Source: PostgreSQL's documentation, "Database Page Layout": free space and special space lie in this order, and
    /// size and layout version are one number.
    private static func hasHeader(_ bytes: UnsafeRawBufferPointer, at page: Int) -> Bool {
        func number(_ offset: Int) -> Int { Int(bytes[page + offset]) | Int(bytes[page + offset + 1]) << 8 }
        let (lower, upper, special, sizeAndVersion) = (number(12), number(14), number(16), number(18))
        return sizeAndVersion == pageSize | 4 && lower >= 24 && lower <= upper && upper <= special
            && special <= pageSize
    }

    private static func isUnused(_ bytes: UnsafeRawBufferPointer, at page: Int) -> Bool {
        bytes[page..<page + pageSize].allSatisfy { $0 == 0 }
    }
}
