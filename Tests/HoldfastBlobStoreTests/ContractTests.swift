import HoldfastBlobStore
import HoldfastModel
import HoldfastTestSupport
import Testing

/// Every implementation, and every wrapper around one, keeps the one contract.
@Suite struct ContractTests {
    @Test(arguments: BlobStoreContract.all)
    func `the memory store keeps the contract`(_ clause: BlobStoreContract) throws {
        try clause.check(MemoryBlobStore())
    }

    @Test(arguments: BlobStoreContract.all)
    func `the file store keeps the contract`(_ clause: BlobStoreContract) throws {
        let folder = try ScratchFolder()
        try clause.check(FileBlobStore.create(root: folder.path + "/repository"))
    }

    @Test(arguments: BlobStoreContract.all)
    func `a faulty store without faults keeps the contract`(_ clause: BlobStoreContract) throws {
        try clause.check(FaultyBlobStore(MemoryBlobStore()))
    }

    @Test(arguments: BlobStoreContract.all)
    func `a retrying store keeps the contract while every third call fails once`(_ clause: BlobStoreContract) throws {
        let faults = (1...300).map { number in
            Fault(.fail(HoldfastError(.unavailable, "away for a moment")), calls: 3 * number...3 * number)
        }
        let faulty = FaultyBlobStore(MemoryBlobStore(), script: faults)
        try clause.check(RetryingBlobStore(faulty, policy: RetryPolicy(attempts: 50), random: { 0 }, pause: { _ in }))
    }

    @Test(arguments: BlobStoreContract.all)
    func `a store with a rate keeps the contract`(_ clause: BlobStoreContract) throws {
        let limiter = try RateLimiter(bytesPerSecond: 1000, pause: { _ in })
        try clause.check(RateLimitedBlobStore(MemoryBlobStore(), limiter: limiter))
    }

    @Test(arguments: BlobStoreContract.all)
    func `one site, replicated, keeps the contract`(_ clause: BlobStoreContract) throws {
        try clause.check(ReplicatedBlobStore(sites: [.sample("a", MemoryBlobStore())], quorum: 1))
    }

    @Test(arguments: BlobStoreContract.all)
    func `three sites with a quorum of two keep the contract`(_ clause: BlobStoreContract) throws {
        let folder = try ScratchFolder()
        let sites = [
            Site.sample("a", try FileBlobStore.create(root: folder.path + "/a")),
            Site.sample("b", MemoryBlobStore()),
            Site.sample("c", try FileBlobStore.create(root: folder.path + "/c")),
        ]
        try clause.check(ReplicatedBlobStore(sites: sites, quorum: 2))
    }

    @Test(arguments: BlobStoreContract.all.filter { !$0.isAboutAbsence })
    func `three sites of which one is dead keep the contract`(_ clause: BlobStoreContract) throws {
        let dead = FaultyBlobStore(MemoryBlobStore(), script: [.unreachable()])
        let sites = [
            Site.sample("a", MemoryBlobStore()), .sample("b", dead), .sample("c", MemoryBlobStore()),
        ]
        try clause.check(ReplicatedBlobStore(sites: sites, quorum: 2))
    }
}

extension Site {
    static func sample(_ name: String, _ store: any BlobStore) -> Site {
        Site(name: name, region: "here", location: "rack \(name)", store: store)
    }
}
