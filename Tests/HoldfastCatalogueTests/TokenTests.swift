import Foundation
import GRDB
import HoldfastCatalogue
import HoldfastModel
import Testing

@Suite struct TokenTests {
    @Test func `the first start makes an operator and a token, the second one nothing`() throws {
        let bench = try Bench()
        let made = try #require(try bench.catalogue.bootstrap())
        #expect(made.user.isOperator)
        #expect(try bench.catalogue.bootstrap()?.user == nil)
        let session = try bench.catalogue.authenticate(bench.catalogue.exchange(made.token))
        #expect(session.user == made.user)
    }

    @Test func `a lost token of the local CLI is replaced, and the old one ends`() throws {
        let bench = try Bench()
        let first = try #require(try bench.catalogue.bootstrap())
        let second = try #require(try bench.catalogue.bootstrap(replacingLostToken: true))
        #expect(first.user.id == second.user.id)
        #expect(code { _ = try bench.catalogue.exchange(first.token) } == .unauthenticated)
        _ = try bench.catalogue.exchange(second.token)
        #expect(try bench.catalogue.tokens(of: first.user.id).count == 1)
    }

    @Test func `no token is in the database, only its hash`() throws {
        let bench = try Bench()
        let made = try #require(try bench.catalogue.bootstrap())
        let access = try bench.catalogue.exchange(made.token)
        try bench.catalogue.close()
        let names = try FileManager.default.contentsOfDirectory(atPath: bench.folder)
        let files = names.map { URL(fileURLWithPath: bench.folder + "/" + $0) }
        let bytes = try files.reduce(into: Data()) { $0.append(try Data(contentsOf: $1)) }
        for secret in [made.token, access] {
            let random = try #require(secret.reveal().split(separator: "_").last)
            #expect(random.count == 52)
            #expect(bytes.range(of: Data(random.utf8)) == nil)
        }
        #expect(bytes.range(of: Data(Digest.sha256(made.token.reveal().utf8))) != nil)
        #expect("\(made)".contains("***"))
    }

    @Test func `an access token ends after 15 minutes, and with its API token`() throws {
        let bench = try Bench()
        let made = try #require(try bench.catalogue.bootstrap())
        let access = try bench.catalogue.exchange(made.token)
        bench.time.advance(899)
        _ = try bench.catalogue.authenticate(access)
        bench.time.advance(1)
        #expect(code { _ = try bench.catalogue.authenticate(access) } == .unauthenticated)
        let second = try bench.catalogue.exchange(made.token)
        let record = try #require(try bench.catalogue.tokens(of: made.user.id).first)
        #expect(record.lastUsedAt == bench.time.now())
        try bench.catalogue.revokeToken(record.id, of: made.user.id)
        #expect(code { _ = try bench.catalogue.authenticate(second) } == .unauthenticated)
        #expect(code { _ = try bench.catalogue.authenticate(apiToken: made.token) } == .unauthenticated)
    }

    @Test func `a token used for Git only is seen to be used, at most once a minute`() throws {
        let bench = try Bench()
        let made = try #require(try bench.catalogue.bootstrap())
        func lastUse() throws -> Date? { try bench.catalogue.tokens(of: made.user.id).first?.lastUsedAt }
        #expect(try lastUse() == nil)
        let first = bench.time.now()
        #expect(try bench.catalogue.authenticate(apiToken: made.token).user == made.user)
        #expect(try lastUse() == first)
        bench.time.advance(59)
        _ = try bench.catalogue.authenticate(apiToken: made.token)
        #expect(try lastUse() == first, "one push shows its token several times, and writes once")
        bench.time.advance(1)
        _ = try bench.catalogue.authenticate(apiToken: made.token)
        #expect(try lastUse() == bench.time.now())
    }

    @Test func `access tokens survive a restart and can be revoked alone`() throws {
        let bench = try Bench()
        let made = try #require(try bench.catalogue.bootstrap())
        let access = try bench.catalogue.exchange(made.token)
        try bench.reopen()
        _ = try bench.catalogue.authenticate(access)
        try bench.catalogue.revoke(access)
        #expect(code { _ = try bench.catalogue.authenticate(access) } == .unauthenticated)
        _ = try bench.catalogue.authenticate(apiToken: made.token)
    }

    @Test func `everything that is not a token is refused alike`() throws {
        let bench = try Bench()
        let made = try #require(try bench.catalogue.bootstrap())
        let good = made.token.reveal()
        let short = String(good.dropLast())
        for wrong in ["", "x", "hfk__", "hfk_a_b", short, good + "a", good.uppercased(), good + "\0"] {
            #expect(code { _ = try bench.catalogue.exchange(Secret(wrong)) } == .unauthenticated, "\(wrong.count)")
            #expect(code { _ = try bench.catalogue.authenticate(Secret(wrong)) } == .unauthenticated)
        }
        #expect(code { _ = try bench.catalogue.authenticate(made.token) } == .unauthenticated)
    }

    @Test func `a token can be narrowed to a project`() throws {
        let bench = try Bench()
        let user = try bench.addUser("ann")
        let scope = TokenScope(project: bench.project.id, permissions: try Permissions(strings: ["staging:viewer"]))
        let made = try bench.catalogue.createToken(named: "ci", for: user.id, scope: scope)
        #expect(try bench.catalogue.authenticate(bench.catalogue.exchange(made.secret)).scope == scope)
        let lost = TokenScope(project: .random(), permissions: .admin)
        #expect(code { _ = try bench.catalogue.createToken(named: "ci", for: user.id, scope: lost) } == .notFound)
    }

    @Test func `permissions are per project and user, and an operator is admin everywhere`() throws {
        let bench = try Bench()
        let made = try #require(try bench.catalogue.bootstrap())
        let ann = try bench.addUser("ann")
        let project = bench.project.id
        #expect(try bench.catalogue.permissions(of: made.user, in: project) == .admin)
        #expect(try bench.catalogue.permissions(of: ann, in: project) == nil)
        let first = try Permissions(strings: ["viewer", "staging:contributor"])
        _ = try bench.catalogue.grant(first, to: ann.id, in: project)
        #expect(try bench.catalogue.permissions(of: ann, in: project) == first)
        bench.time.advance(1)
        let grant = try bench.catalogue.grant(.admin, to: ann.id, in: project)
        #expect(grant.updatedAt == bench.time.now())
        #expect(grant.grantedAt < grant.updatedAt)
        #expect(try bench.catalogue.grants(of: ann.id) == [grant])
        try bench.catalogue.revoke(user: ann.id, in: project)
        #expect(try bench.catalogue.permissions(of: ann, in: project) == nil)
    }

    @Test func `names and addresses of people are unique whatever their case, and addresses are addresses`() throws {
        let bench = try Bench()
        let ann = try bench.addUser("ann")
        #expect(code { _ = try bench.addUser("ANN") } == .conflict)
        #expect(try bench.catalogue.user(matching: "Ann@Example.org") == ann)
        #expect(code { _ = try bench.addUser("a b") } == .invalidInput)
    }

    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        (
            String(repeating: "a", count: 1_000),
            "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3"
        ),
    ])
    func `SHA-256 gives what its standard says`(message: String, digest: String) {
        let text = Digest.sha256(message.utf8).map { String(format: "%02x", $0) }.joined()
        #expect(text == digest)
    }

    @Test func `every length around a block is padded right`() {
        let digests = (0...130).map { Digest.sha256([UInt8](repeating: 1, count: $0)) }
        #expect(Set(digests).count == 131)
        #expect(Digest.areEqual(digests[5], digests[5]))
        #expect(!Digest.areEqual(digests[5], digests[6]))
        #expect(!Digest.areEqual(digests[5], []))
    }

    /// A full disk must not keep anybody from looking at things: every call of the command line exchanges its token.
    @Test func `tokens are exchanged while the disk is full, and end as others do`() throws {
        let bench = try Bench()
        let made = try #require(try bench.catalogue.bootstrap())
        try bench.catalogue.stopGrowth()
        let accesses = try (0..<300).map { _ in try bench.catalogue.exchange(made.token) }
        for access in accesses { #expect(try bench.catalogue.authenticate(access).user == made.user) }
        let last = try #require(accesses.last)
        try bench.catalogue.revoke(last)
        #expect(code { _ = try bench.catalogue.authenticate(last) } == .unauthenticated)
        #expect(code { _ = try bench.catalogue.exchange(Secret("hfk_nobody_x")) } == .unauthenticated)
        let other = accesses[accesses.count - 2]
        bench.time.advance(Double(Catalogue.accessTokenLifetime) + 1)
        #expect(code { _ = try bench.catalogue.authenticate(other) } == .unauthenticated)
    }

    @Test func `an error of a full disk names the file and what to do`() throws {
        let bench = try Bench()
        let user = try bench.addUser("ann")
        try bench.catalogue.stopGrowth()
        let error = #expect(throws: HoldfastError.self) {
            for number in 0..<500 {
                _ = try bench.catalogue.createToken(named: "token \(number)", for: user.id, scope: nil)
            }
        }
        #expect(error?.code == .noSpace)
        #expect(error?.message.contains(bench.path) == true)
        #expect(error?.hint?.isEmpty == false)
    }
}
