"""The web app. POST /events writes an event to every place; GET / shows the ledger; GET /sets answers the oracle."""

import html
import json
import os
import signal
import sys
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from . import VERSION, store

MAX_BODY = 1 << 20
connections = None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 75
    # An answer's body follows its head at once, and not when the other end has acknowledged that, 40 ms later.
    disable_nagle_algorithm = True

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/":
            self.answer(200, page(), "text/html; charset=utf-8")
        elif path == "/health":
            self.answer(200, "ok\n", "text/plain; charset=utf-8")
        elif path == "/version":
            self.answer(200, VERSION + "\n", "text/plain; charset=utf-8")
        elif path == "/sets":
            self.answer(200, json.dumps(sets()), "application/json")
        else:
            self.answer(404, "there is no such page\n", "text/plain; charset=utf-8")

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY:
            self.close_connection = True
            self.answer(413, "the body may have 1 MiB\n", "text/plain; charset=utf-8")
            return
        body = self.rfile.read(length)
        if self.path != "/events":
            self.answer(404, "post to /events\n", "text/plain; charset=utf-8")
            return
        event_id = self.headers.get("X-Event-Id") or str(uuid.uuid4())
        if len(event_id) > 100 or not all(c.isalnum() or c == "-" for c in event_id):
            self.answer(400, "X-Event-Id takes letters, digits and '-'\n", "text/plain; charset=utf-8")
            return
        number = write_event(event_id, body.decode("utf-8", "replace"))
        if number is None:
            self.answer(409, json.dumps({"id": event_id, "error": "seen before"}), "application/json")
        else:
            self.answer(201, json.dumps({"id": event_id, "number": number}), "application/json")

    def answer(self, status, text, content_type):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *arguments):
        pass


def write_event(event_id, text):
    """One request's event, the row first and then the lines; all are there before the answer is."""
    number = connections.run(lambda cursor: store.insert(cursor, event_id, "request", text))
    if number is None:
        connections.run(lambda cursor: store.record_duplicate(cursor, event_id))
        return None
    store.record(number, event_id, "request")
    return number


def sets():
    """Everything the oracle compares: ids by place, and what was executed twice."""
    def read(cursor):
        cursor.execute("SELECT number, id, kind FROM event ORDER BY number")
        rows = cursor.fetchall()
        cursor.execute("SELECT id FROM duplicate")
        return rows, [row[0] for row in cursor.fetchall()]

    rows, duplicates = connections.run(read)
    return {
        "version": VERSION,
        "database": [[number, event_id, kind] for number, event_id, kind in rows],
        "file": events(store.read_lines(store.EVENTS_FILE)),
        "places": {"journal": events(store.read_journal())},
        "tally": [line[0] for line in store.read_lines(store.TALLY_FILE)],
        "duplicates": duplicates,
    }


def events(lines):
    return [[int(line[0]), line[1], line[2]] for line in lines]


def page():
    def read(cursor):
        cursor.execute("SELECT number, id, kind, text, at FROM event ORDER BY number DESC LIMIT 50")
        rows = cursor.fetchall()
        cursor.execute("SELECT count(*) FROM event")
        return rows, cursor.fetchone()[0]

    rows, count = connections.run(read)
    lines = len(store.read_lines(store.EVENTS_FILE))
    items = "".join(
        f"<tr><td>{number}<td>{html.escape(kind)}<td>{html.escape(event_id)}<td>{html.escape(text[:80])}<td>{at:%H:%M:%S}"
        for number, event_id, kind, text, at in rows
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Ledger</title>"
        "<style>body{font:16px/1.5 system-ui;margin:2rem auto;max-width:60rem}td,th{padding:.2rem .8rem;"
        "text-align:left}</style>"
        f"<h1>Ledger, version {html.escape(VERSION)}</h1><p>{count} events in the database, {lines} in the file on the "
        "mount.<form method=post action=/events><button>Write an event</button></form>"
        f"<table><tr><th>number<th>kind<th>id<th>text<th>at{items}</table>"
    )


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


def main():
    global connections
    connections = store.Connections(16)
    server = Server(("127.0.0.1", int(os.environ["PORT"])), Handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"{time.strftime('%H:%M:%S')} ledger version {VERSION} listens on port {os.environ['PORT']}")
    server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
