import Foundation
import HoldfastAPI
import HoldfastCommands
import HoldfastModel
import Testing

@Suite struct RendererTests {
    private let table = Table(
        columns: [
            .init("created_at", "Created"), .init("id", "Backup ID"), .init("restorable", "Restorable"),
            .init("automated", "Automated", isDefault: false), .init("index", "Index", isDefault: false),
            .init("safe", "Safe", isDefault: false, isHidden: true),
        ],
        rows: [
            [
                "created_at": .date(Date(timeIntervalSince1970: 1_769_864_400)), "id": .text("b2"),
                "restorable": .flag(true), "automated": .flag(false), "index": .integer(3), "safe": .flag(true),
            ],
            ["created_at": .date(nil), "id": .text("quote \" comma , end"), "restorable": .flag(false)],
        ])

    private func render(
        _ format: TableFormat, columns: [String] = [], header: Bool = true, width: Int? = nil
    ) throws -> String {
        let style = TableStyle(
            format: format, columns: columns, showsHeader: header, dates: DateFormat(timeZone: .gmt), width: width)
        return try TableRenderer.render(table, style)
    }

    @Test func `a table has borders as Upsun's`() throws {
        #expect(
            try render(.table) == """
                +---------------------------+---------------------+------------+
                | Created                   | Backup ID           | Restorable |
                +---------------------------+---------------------+------------+
                | 2026-01-31T13:00:00+00:00 | b2                  | true       |
                |                           | quote " comma , end | false      |
                +---------------------------+---------------------+------------+

                """)
    }

    @Test func `a table without header begins with its rows`() throws {
        #expect(
            try render(.table, columns: ["id"], header: false) == """
                +---------------------+
                | b2                  |
                | quote " comma , end |
                +---------------------+

                """)
    }

    @Test func `a narrow terminal breaks words and keeps the borders straight`() throws {
        let text = try render(.table, columns: ["created_at,id"], width: 40)
        #expect(
            text == """
                +------------------+-------------------+
                | Created          | Backup ID         |
                +------------------+-------------------+
                | 2026-01-31T13:00 | b2                |
                | :00+00:00        |                   |
                |                  | quote " comma ,   |
                |                  | end               |
                +------------------+-------------------+

                """)
    }

    @Test func `csv quotes what it must, tsv and plain use tabs`() throws {
        #expect(
            try render(.csv) == """
                Created,Backup ID,Restorable
                2026-01-31T13:00:00+00:00,b2,true
                ,"quote "" comma , end",false

                """)
        #expect(try render(.tsv, columns: ["id", "index"], header: false) == "b2\t3\n\"quote \"\" comma , end\"\t\n")
        #expect(try render(.plain, columns: ["id", "index"], header: false) == "b2\t3\nquote \" comma , end\t\n")
    }

    @Test func `json has all columns with their types, or those that were chosen`() throws {
        #expect(
            try render(.json, columns: ["id,restorable,index,created_at"]) == """
                [
                  {
                    "created_at" : "2026-01-31T13:00:00+00:00",
                    "id" : "b2",
                    "index" : 3,
                    "restorable" : true
                  },
                  {
                    "created_at" : null,
                    "id" : "quote \\" comma , end",
                    "index" : null,
                    "restorable" : false
                  }
                ]

                """)
        #expect(try render(.json).contains("\"automated\""))
        #expect(try !render(.json).contains("\"safe\""))
    }

    @Test(arguments: [
        (["+automated"], "Created,Backup ID,Restorable,Automated"), (["id,created_at"], "Backup ID,Created"),
        (["id", "id"], "Backup ID"), (["+automated,index"], "Created,Backup ID,Restorable,Automated,Index"),
        (["*at*"], "Created,Automated"), (["%ed"], "Automated"), (["safe"], "Safe"),
        (["*"], "Created,Backup ID,Restorable,Automated,Index"),
    ])
    func `columns are chosen, added and matched`(columns: [String], header: String) throws {
        #expect(try render(.csv, columns: columns).split(separator: "\n").first.map(String.init) == header)
    }

    @Test func `a column that does not exist is refused by name`() {
        let error = #expect(throws: HoldfastError.self) { try render(.csv, columns: ["id,creator"]) }
        #expect(error?.message == "column 'creator' does not exist")
        #expect(error?.hint == "Choose among created_at, id, restorable, automated, index")
    }

    @Test func `dates follow PHP's letters in the caller's zone`() {
        let date = Date(timeIntervalSince1970: 1_769_864_405)
        let zone = TimeZone(secondsFromGMT: 19_800) ?? .gmt
        #expect(DateFormat(pattern: "c", timeZone: zone).text(date) == "2026-01-31T18:30:05+05:30")
        #expect(
            DateFormat(pattern: "D, j M Y g:i A \\a\\t O", timeZone: zone).text(date)
                == "Sat, 31 Jan 2026 6:30 PM at +0530")
        #expect(DateFormat(pattern: "U", timeZone: zone).text(date) == "1769864405")
    }

    @Test func `properties are YAML that other readers understand`() {
        let value: JSONValue = [
            "id": "b2", "commit": "0123", "expires_at": nil, "safe": true, "size": 12,
            "sites": [["name": "a", "complete": true], ["name": "b: c", "complete": false]], "tags": [],
            "list": ["x", "- y"],
            "note": "two\nlines", "word": "No",
        ]
        #expect(
            PropertyRenderer.yaml(value) == """
                id: b2
                commit: '0123'
                expires_at: null
                list:
                  - x
                  - '- y'
                note: "two\\nlines"
                safe: true
                sites:
                  - complete: true
                    name: a
                  - complete: false
                    name: 'b: c'
                size: 12
                tags: []
                word: 'No'

                """)
    }

    @Test func `one property is found by its path`() throws {
        let properties: [String: JSONValue] = ["hold": ["requests_held": 37], "sites": [["name": "a"]]]
        #expect(try PropertyRenderer.property("hold.requests_held", of: properties) == 37)
        #expect(try PropertyRenderer.property("sites.0.name", of: properties) == "a")
        let error = #expect(throws: HoldfastError.self) { try PropertyRenderer.property("hold.x", of: properties) }
        #expect(error?.message == "property 'hold.x' does not exist")
    }

    @Test func `amounts are read at a glance`() {
        #expect(
            [0, 1023, 1024, 35_651_584, 1_288_490_189].map { Amount.bytes($0) } == [
                "0 B", "1023 B", "1.0 KiB", "34 MiB", "1.2 GiB",
            ])
        #expect([0.42, 211.6, 1240, 125_000].map(Amount.milliseconds) == ["0.4 ms", "212 ms", "1.24 s", "2 min 5 s"])
    }

    @Test func `wide characters take two columns, and marks none`() throws {
        #expect(TextWidth.of("日本") == 4)
        #expect(TextWidth.of("e\u{301}") == 1)
        #expect(TextWidth.of("🚀") == 2)
        #expect(TextWidth.of("ünï") == 3)
        let table = Table(
            columns: [.init("a", "A"), .init("b", "B")],
            rows: [["a": .text("日本語"), "b": .text("x")], ["a": .text("ab"), "b": .text("y")]])
        let style = TableStyle(dates: DateFormat(timeZone: .gmt))
        let lines = try TableRenderer.render(table, style).split(separator: "\n")
        #expect(Set(lines.map(TextWidth.of)) == [14], "\(lines)")
    }

    @Test func `a table of long words keeps to the terminal's width`() throws {
        let long = String(repeating: "branch-", count: 30)
        let table = Table(
            columns: [.init("a", "ID"), .init("b", "Title"), .init("c", "Status"), .init("d", "Type")],
            rows: [["a": .text(long), "b": .text("日本" + long), "c": .text("Active"), "d": .text("development")]])
        var style = TableStyle(dates: DateFormat(timeZone: .gmt))
        style.width = 60
        let lines = try TableRenderer.render(table, style).split(separator: "\n")
        #expect(lines.allSatisfy { TextWidth.of($0) <= 60 })
        #expect(Set(lines.map(TextWidth.of)).count == 1)
    }

    @Test func `a value for programs differs from what people see`() throws {
        let table = Table(columns: [.init("a", "A")], rows: [["a": .value(.integer(7), shown: "7%")]])
        var style = TableStyle(format: .json, dates: DateFormat(timeZone: .gmt))
        #expect(try TableRenderer.render(table, style).contains(#""a" : 7"#))
        style.format = .csv
        #expect(try TableRenderer.render(table, style) == "A\n7%\n")
    }
}
