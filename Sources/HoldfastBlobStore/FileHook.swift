/// A system call by which a `FileBlobStore` changes what is on the disk.
package enum FileCall {
    /// A new, empty file is made.
    case create(path: String)
    /// Bytes are written at the end of a file that was made before; they are valid during the call only.
    case write(path: String, descriptor: Int32, bytes: UnsafeRawBufferPointer)
    /// A file's bytes are made durable.
    case sync(path: String)
    case rename(path: String, target: String)
    case link(path: String, target: String)
    case unlink(path: String)
    case makeFolder(path: String)
    /// The names in a folder are made durable.
    case syncFolder(path: String)
}

/// Sees every such call just before it is made: for tests of what a crash at that point leaves on the disk.
///
/// If it throws, the call is not made and fails with that error. There is none in production.
package typealias FileHook = @Sendable (FileCall) throws -> Void
