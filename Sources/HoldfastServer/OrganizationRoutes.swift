import Foundation
import HoldfastAPI
import HoldfastCatalogue
import HoldfastModel

/// `/organizations` and `/regions`: clients ask for them; an installation has one of each.
enum OrganizationRoutes {
    static func add(to routes: Routes) {
        routes.on(.get, "/organizations", list)
        routes.on(.get, "/users/:user/organizations", list)
        routes.on(.get, "/organizations/:organization", get)
        routes.on(.get, "/regions") { _ in
            let region: [String: JSONValue] = [
                "id": "local", "label": "Local", "available": true, "private": false, "zone": "Local",
                "_links": .object(["self": .object(["href": "/regions/local"])]),
            ]
            return try .json(API.Collection(items: [region], links: ["self": "/regions"]))
        }
        routes.on(.post, "/me/verification") { _ in
            try .json(["state": .bool(false), "type": .string("")] as [String: JSONValue])
        }
    }

    static func organization(_ call: Call) throws -> API.Organization {
        let owner = try call.owner()
        let path = "/organizations/\(Path.organization)"
        return API.Organization(
            id: Path.organization, owner: owner.id, name: Path.organization, label: "Holdfast",
            createdAt: owner.createdAt, links: ["self": path])
    }

    private static func list(_ call: Call) throws -> Reply {
        try .json(API.Collection(items: [organization(call)], links: ["self": "/organizations"]))
    }

    private static func get(_ call: Call) throws -> Reply {
        let id = try call.input.parameter("organization")
        guard id == Path.organization || id == "name=\(Path.organization)" else {
            throw HoldfastError(.notFound, "there is no organization '\(id.prefix(40))'")
        }
        return try .json(organization(call))
    }
}

/// `/ref/…?in=id1,id2`: objects by id, null for what there is not or what the caller may not see.
enum ReferenceRoutes {
    static func add(to routes: Routes) {
        routes.on(.get, "/ref/users", users)
        routes.on(.get, "/ref/projects", projects)
        routes.on(.get, "/ref/organizations") { call in
            let organization = try OrganizationRoutes.organization(call)
            return try answer(call) { $0 == organization.id ? API.OrganizationReference(organization) : nil }
        }
        routes.on(.get, "/ref/teams") { call in try answer(call) { _ in nil as JSONValue? } }
    }

    /// Oneself, and people one shares a project with.
    private static func users(_ call: Call) throws -> Reply {
        var seen = [call.user.id: call.user]
        for project in try call.catalogue.projects() where try call.principal.permissions(in: project.id) != nil {
            for grant in try call.catalogue.grants(in: project.id) { seen[grant.user.id] = grant.user }
        }
        for person in try call.catalogue.users() where person.isOperator { seen[person.id] = person }
        return try answer(call) { UserID($0).flatMap { seen[$0] }.map(API.UserReference.init) }
    }

    private static func projects(_ call: Call) throws -> Reply {
        let seen = try call.catalogue.projects().filter { try call.principal.permissions(in: $0.id) != nil }
        return try answer(call) { id in
            seen.first { $0.id.rawValue == id }.map { API.ProjectReference($0, organization: Path.organization) }
        }
    }

    private static func answer<Item: Encodable>(_ call: Call, _ find: (String) -> Item?) throws -> Reply {
        let ids = call.input.values("in").flatMap { $0.split(separator: ",") }.prefix(500).map(String.init)
        return try .json(Dictionary(ids.map { ($0, find($0)) }) { first, _ in first })
    }
}
