// swift-tools-version: 6.2
import PackageDescription

// One target per part; arrows point down only (a test checks them). See docs/architecture.md.

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let asyncHTTPClient = Target.Dependency.product(name: "AsyncHTTPClient", package: "async-http-client")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let hummingbirdCore = Target.Dependency.product(name: "HummingbirdCore", package: "hummingbird")
let hummingbirdTLS = Target.Dependency.product(name: "HummingbirdTLS", package: "hummingbird")
let hummingbirdTesting = Target.Dependency.product(name: "HummingbirdTesting", package: "hummingbird")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")

/// Programs carry Swift's own libraries in themselves: they start faster and run where there is no Swift.
let selfContained: [LinkerSetting] = [
    .unsafeFlags([
        "-static-stdlib", "-lCoreFoundation", "-l_FoundationICU", "-l_FoundationCShims", "-l_FoundationCollections",
    ])
]

let package = Package(
    name: "holdfast",
    products: [
        .executable(name: "holdfast", targets: ["holdfast"]),
        // The engine on its own: restic's repository format on any blob store.
        .library(name: "HoldfastRepository", targets: ["HoldfastRepository", "HoldfastBlobStore", "HoldfastModel"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
    ],
    targets: [
        // MARK: C: system calls and system libraries
        .target(name: "CHoldfastFiles"),
        .target(name: "CHoldfastHash"),
        .target(name: "CHoldfastSystem"),
        .systemLibrary(name: "CLibPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CMariaDB", pkgConfig: "libmariadb", providers: [.apt(["libmariadb-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),

        // MARK: Level 0: values, and the wire between our processes
        .target(name: "HoldfastModel"),
        .target(name: "HoldfastControl", dependencies: ["CHoldfastSystem", "HoldfastModel"]),

        // MARK: Level 1: parts that know only the model
        .target(name: "HoldfastAPI", dependencies: ["HoldfastModel"]),
        .target(name: "HoldfastBlobStore", dependencies: ["CHoldfastFiles", "HoldfastModel"]),
        .target(name: "HoldfastCatalogue", dependencies: ["COpenSSL", "HoldfastModel", grdb]),
        .target(
            name: "HoldfastEnvironments",
            dependencies: [
                "CHoldfastFiles", "CHoldfastHash", "CHoldfastSystem", "CLibPQ", "CMariaDB", "COpenSSL",
                "HoldfastControl", "HoldfastModel", logging, yams,
            ]),
        .target(
            name: "HoldfastGateway",
            dependencies: ["HoldfastControl", "HoldfastModel", logging, nioCore, nioPosix]),

        .target(name: "HoldfastRetention", dependencies: ["HoldfastModel"]),

        // MARK: Level 2
        .target(
            name: "HoldfastClient",
            dependencies: [
                "HoldfastAPI", "HoldfastModel", asyncHTTPClient, logging, nioCore, nioHTTP1,
            ]),
        .target(
            name: "HoldfastRepository",
            dependencies: [
                "CHoldfastFiles", "CHoldfastHash", "COpenSSL", "CZstd", "HoldfastBlobStore", "HoldfastModel",
            ]),

        // MARK: Level 3
        .target(
            name: "HoldfastBackup",
            dependencies: [
                "HoldfastBlobStore", "HoldfastControl", "HoldfastEnvironments", "HoldfastModel", "HoldfastRepository",
                "HoldfastRetention", logging,
            ]),
        .target(
            name: "HoldfastCommands",
            dependencies: ["HoldfastAPI", "HoldfastClient", "HoldfastModel", argumentParser]),

        // MARK: Level 4
        .target(
            name: "HoldfastRepositoryCommands",
            dependencies: [
                "HoldfastBlobStore", "HoldfastCommands", "HoldfastModel", "HoldfastRepository", argumentParser,
            ]),
        .target(
            name: "HoldfastDemo",
            dependencies: [
                "HoldfastAPI", "HoldfastClient", "HoldfastControl", "HoldfastEnvironments", "HoldfastModel",
            ]),
        .target(
            name: "HoldfastNotifications",
            dependencies: [
                "COpenSSL", "HoldfastClient", "HoldfastControl", "HoldfastEnvironments", "HoldfastModel",
                "HoldfastRetention", logging, nioCore, nioPosix, nioSSL,
            ]),
        .target(
            name: "HoldfastDoctor",
            dependencies: [
                "HoldfastBackup", "HoldfastBlobStore", "HoldfastCatalogue", "HoldfastControl", "HoldfastEnvironments",
                "HoldfastGateway", "HoldfastModel", "HoldfastRepository", "HoldfastRetention",
            ]),
        .target(
            name: "HoldfastScheduler",
            dependencies: ["HoldfastBackup", "HoldfastControl", "HoldfastModel", "HoldfastRetention", logging]),
        .target(
            name: "HoldfastServer",
            dependencies: [
                "HoldfastAPI", "HoldfastCatalogue", "HoldfastModel", "HoldfastRetention", httpTypes, hummingbird,
                hummingbirdCore,
                hummingbirdTLS, logging, nioCore,
            ]),

        // MARK: The door
        .executableTarget(
            name: "holdfast",
            dependencies: [
                "HoldfastAPI", "HoldfastBackup", "HoldfastBlobStore", "HoldfastCatalogue", "HoldfastClient",
                "HoldfastCommands", "HoldfastControl", "HoldfastDemo", "HoldfastDoctor", "HoldfastEnvironments",
                "HoldfastGateway", "HoldfastModel", "HoldfastNotifications",
                "HoldfastRepository", "HoldfastRepositoryCommands", "HoldfastRetention", "HoldfastScheduler",
                "HoldfastServer", argumentParser, logging,
            ],
            linkerSettings: selfContained),

        // MARK: Proofs: the engine in processes of its own, the fuzzer, the oracle, the hold's benchmark; not installed
        .executableTarget(
            name: "HoldfastProof",
            dependencies: ["HoldfastBlobStore", "HoldfastDemo", "HoldfastModel", "HoldfastRepository"],
            linkerSettings: selfContained),

        // MARK: Tests
        .target(name: "HoldfastTestSupport", dependencies: ["HoldfastBlobStore", "HoldfastModel"]),
        .testTarget(name: "HoldfastAPITests", dependencies: ["HoldfastAPI", "HoldfastModel"]),
        .testTarget(
            name: "HoldfastBackupTests",
            dependencies: [
                "HoldfastBackup", "HoldfastControl", "HoldfastEnvironments", "HoldfastModel", "HoldfastRepository",
                "HoldfastRetention",
                logging,
            ]),
        .testTarget(
            name: "HoldfastBlobStoreTests",
            dependencies: ["HoldfastBlobStore", "HoldfastModel", "HoldfastTestSupport"]),
        .testTarget(name: "HoldfastCatalogueTests", dependencies: ["HoldfastCatalogue", "HoldfastModel", grdb]),
        .testTarget(
            name: "HoldfastClientTests",
            dependencies: ["HoldfastAPI", "HoldfastClient", "HoldfastModel", "HoldfastTestSupport"]),
        .testTarget(
            name: "HoldfastCommandsTests",
            dependencies: [
                "HoldfastAPI", "HoldfastClient", "HoldfastCommands", "HoldfastModel", "HoldfastTestSupport",
                argumentParser,
            ]),
        .testTarget(name: "HoldfastControlTests", dependencies: ["HoldfastControl", "HoldfastModel"]),
        .testTarget(
            name: "HoldfastEnvironmentsTests",
            dependencies: ["HoldfastControl", "HoldfastEnvironments", "HoldfastModel", "HoldfastTestSupport"]),
        .testTarget(
            name: "HoldfastGatewayTests",
            dependencies: [
                "HoldfastControl", "HoldfastGateway", "HoldfastModel", "HoldfastTestSupport", nioCore,
            ]),
        .testTarget(name: "HoldfastModelTests", dependencies: ["HoldfastModel", "HoldfastTestSupport"]),
        .testTarget(
            name: "HoldfastDoctorTests",
            dependencies: [
                "HoldfastBackup", "HoldfastCatalogue", "HoldfastControl", "HoldfastDoctor", "HoldfastEnvironments",
                "HoldfastGateway", "HoldfastModel", "HoldfastRepository", "HoldfastRetention", "HoldfastTestSupport",
            ]),
        .testTarget(
            name: "HoldfastNotificationsTests",
            dependencies: [
                "HoldfastCatalogue", "HoldfastModel", "HoldfastNotifications", "HoldfastRetention",
                "HoldfastTestSupport", logging, nioCore, nioPosix, nioSSL,
            ]),
        .testTarget(
            name: "HoldfastRepositoryTests",
            dependencies: [
                "CHoldfastFiles", "CHoldfastHash", "HoldfastBlobStore", "HoldfastModel", "HoldfastRepository",
                "HoldfastTestSupport",
            ]),
        .testTarget(
            name: "HoldfastRepositoryCommandsTests",
            dependencies: [
                "HoldfastBlobStore", "HoldfastCommands", "HoldfastModel", "HoldfastRepository",
                "HoldfastRepositoryCommands", "HoldfastTestSupport", argumentParser,
            ]),
        .testTarget(
            name: "HoldfastRetentionTests",
            dependencies: ["HoldfastModel", "HoldfastRetention", "HoldfastTestSupport"]),
        .testTarget(
            name: "HoldfastSchedulerTests",
            dependencies: [
                "HoldfastBackup", "HoldfastCatalogue", "HoldfastEnvironments", "HoldfastModel", "HoldfastRepository",
                "HoldfastRetention", "HoldfastScheduler", "HoldfastTestSupport", logging,
            ]),
        .testTarget(
            name: "HoldfastServerTests",
            dependencies: [
                "HoldfastAPI", "HoldfastCatalogue", "HoldfastModel", "HoldfastServer", "HoldfastTestSupport", httpTypes,
                hummingbird, hummingbirdTesting, logging, nioCore,
            ]),
        .testTarget(name: "IntegrationTests", dependencies: ["HoldfastDemo", "HoldfastModel", "HoldfastTestSupport"]),
        .testTarget(name: "TidyTests"),
    ],
    swiftLanguageModes: [.v6]
)

for target in package.targets where target.type == .regular || target.type == .executable || target.type == .test {
    guard !target.name.hasPrefix("CHoldfast") else { continue }
    target.swiftSettings = [
        // `any` is written where a value is boxed.
        .enableUpcomingFeature("ExistentialAny"),
        // An async function runs on its caller's executor unless it says otherwise.
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    ]
}
