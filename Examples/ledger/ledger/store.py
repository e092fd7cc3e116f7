"""Where events go, under the same number: a row in PostgreSQL, a line in a file on one mount, and a line in the journal on
another, which has a file for each thousand events."""

import fcntl
import os
import select
import threading

import psycopg2

FILES = os.path.join(os.environ.get("PLATFORM_APP_DIR", "."), "files")
EVENTS_FILE = os.path.join(FILES, "events.log")
TALLY_FILE = os.path.join(FILES, "tally.log")
JOURNAL = os.path.join(os.environ.get("PLATFORM_APP_DIR", "."), "journal")
JOURNAL_PAGE = 1000


def connect():
    """One connection to the database that the relationship `database` names."""
    return psycopg2.connect(
        host=os.environ["DATABASE_HOST"],
        port=os.environ["DATABASE_PORT"],
        user=os.environ["DATABASE_USERNAME"],
        password=os.environ["DATABASE_PASSWORD"],
        dbname=os.environ["DATABASE_PATH"],
    )


class Connections:
    """A bounded set of connections that stay open; a thread waits for a free one instead of failing."""

    def __init__(self, size):
        self._free = threading.BoundedSemaphore(size)
        self._idle = []

    def run(self, work):
        """Runs `work(cursor)` in one transaction and commits it."""
        with self._free:
            connection = self._take()
            try:
                with connection.cursor() as cursor:
                    result = work(cursor)
                connection.commit()
            except BaseException:
                connection.close()
                raise
            self._idle.append(connection)
            return result

    def _take(self):
        """A connection that was left idle, or a new one."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return connect()
            # A server says nothing to an idle connection but that it has ended.
            poll = select.poll()
            poll.register(connection, select.POLLIN)
            if not poll.poll(0):
                return connection
            connection.close()


def append_line(path, line):
    """Appends one whole line, whoever else appends: one write under a lock."""
    with open(path, "ab", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(line.encode() + b"\n")


def record(number, event_id, kind):
    """Writes the event's lines on both mounts."""
    line = f"{number}\t{event_id}\t{kind}"
    append_line(EVENTS_FILE, line)
    append_line(os.path.join(JOURNAL, f"{number // JOURNAL_PAGE:06d}.log"), line)


def insert(cursor, event_id, kind, text):
    """Inserts the event and returns its number, or None if this id is there already (a request run twice)."""
    cursor.execute(
        "INSERT INTO event (id, kind, text) VALUES (%s, %s, %s) ON CONFLICT (id) DO NOTHING RETURNING number",
        (event_id, kind, text),
    )
    row = cursor.fetchone()
    return row[0] if row else None


def record_duplicate(cursor, event_id):
    """Counts an id that arrived again: the proof against requests that are executed twice."""
    cursor.execute("INSERT INTO duplicate (id) VALUES (%s)", (event_id,))


def read_journal():
    pages = sorted(name for name in os.listdir(JOURNAL) if name.endswith(".log"))
    return [line for page in pages for line in read_lines(os.path.join(JOURNAL, page))]


def read_lines(path):
    try:
        with open(path, encoding="utf-8") as file:
            return [line.rstrip("\n").split("\t") for line in file]
    except FileNotFoundError:
        return []
