import HoldfastClient
import HoldfastModel
import Testing

@Suite struct AddressTests {
    @Test func `links of another host are followed on our server only`() throws {
        let server = try ServerAddress("http://127.0.0.1:7070/")
        #expect(server.url(for: "/projects/p1") == "http://127.0.0.1:7070/projects/p1")
        #expect(server.url(for: "https://evil.example/projects/p1?x=1") == "http://127.0.0.1:7070/projects/p1?x=1")
        #expect(server.url(for: "https://evil.example") == "http://127.0.0.1:7070/")
        #expect(server.url(for: "//evil.example/x") == "http://127.0.0.1:7070//evil.example/x")
    }

    @Test func `a path in front of the API is kept once`() throws {
        let server = try ServerAddress("https://host.example/api/")
        #expect(server.url(for: "/projects/p1") == "https://host.example/api/projects/p1")
        #expect(server.url(for: "/api/projects/p1") == "https://host.example/api/projects/p1")
    }

    @Test(arguments: ["", "127.0.0.1:7070", "ftp://host", "http://", "http://me:secret@host", "http://host?x=1"])
    func `what is no server's URL is refused`(text: String) {
        let error = #expect(throws: HoldfastError.self) { try ServerAddress(text) }
        #expect(error?.code == .invalidInput)
        #expect(error.map { !$0.description.contains("secret") } == true)
    }

    @Test func `only this machine's addresses are loopback`() throws {
        for text in ["http://127.0.0.1", "http://localhost:1", "http://[::1]:80", "http://127.1.2.3"] {
            #expect(try ServerAddress(text).isLoopback, "\(text)")
        }
        for text in ["http://10.0.0.1", "http://127.0.0.1.evil.example", "http://localhost.example"] {
            #expect(try !ServerAddress(text).isLoopback, "\(text)")
        }
    }

    @Test func `a name with slashes stays one segment`() {
        #expect(ServerAddress.escape("feature/x y+z") == "feature%2Fx%20y%2Bz")
    }
}
