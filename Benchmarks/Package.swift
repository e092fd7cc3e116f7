// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that nobody who only builds Holdfast builds this. Of the parent it needs the engine's
// library product, so none of the parent's third-party packages is built either.

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let package = Package(
    name: "holdfast-bench",
    products: [
        .executable(name: "holdfast-bench", targets: ["HoldfastBench"]),
        .executable(name: "holdfast-limits", targets: ["HoldfastLimits"]),
    ],
    dependencies: [.package(name: "holdfast", path: "..")],
    targets: [
        .systemLibrary(name: "CBenchLibraries", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .executableTarget(
            name: "HoldfastBench",
            dependencies: [.product(name: "HoldfastRepository", package: "holdfast")],
            swiftSettings: settings),
        .executableTarget(name: "HoldfastLimits", dependencies: ["CBenchLibraries"], swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)
