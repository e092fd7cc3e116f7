// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that nobody who only builds Holdfast builds this. Of the parent it needs the engine's
// library product, so none of the parent's third-party packages is built either.

let package = Package(
    name: "holdfast-bench",
    products: [.executable(name: "holdfast-bench", targets: ["HoldfastBench"])],
    dependencies: [.package(name: "holdfast", path: "..")],
    targets: [
        .executableTarget(
            name: "HoldfastBench",
            dependencies: [.product(name: "HoldfastRepository", package: "holdfast")],
            swiftSettings: [
                .enableUpcomingFeature("ExistentialAny"),
                .enableUpcomingFeature("MemberImportVisibility"),
                .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
            ])
    ],
    swiftLanguageModes: [.v6]
)
