"""The web app with more places: each event of a request is also in MariaDB, Redis and RabbitMQ before it is answered, and in
two caches. `GET /sets` has the places' events under `places`, and how many events the caches hold under `caches`.

It takes those of the relationships `sql`, `keys`, `queue`, `session` and `cache` that there are; it is started in place of
`ledger.web`, and needs Debian's `python3-pymysql` and `python3-pika` for the first and the third.
"""

import os
import socket
import threading

from . import web


class Place:
    """One connection, made when it is needed, that threads use in turn."""

    def __init__(self, relationship):
        self.prefix = relationship.upper() + "_"
        self.lock = threading.Lock()
        self.connection = None

    def setting(self, name):
        return os.environ.get(self.prefix + name, "")

    def address(self):
        return self.setting("HOST"), int(self.setting("PORT"))

    def use(self, work):
        with self.lock:
            if self.connection is None:
                self.connection = self.connect()
            try:
                return work(self.connection)
            except Exception:
                self.connection = None
                raise


class Table(Place):
    """Rows in MariaDB."""

    def connect(self):
        import pymysql

        host, port = self.address()
        connection = pymysql.connect(
            host=host, port=port, user=self.setting("USERNAME"), password=self.setting("PASSWORD"),
            database=self.setting("PATH"), autocommit=True)
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION sql_notes = 0")
            cursor.execute(
                "CREATE TABLE IF NOT EXISTS event (number bigint PRIMARY KEY, id varchar(100) NOT NULL) ENGINE = InnoDB")
        return connection

    def add(self, number, event_id):
        def work(connection):
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO event VALUES (%s, %s)", (number, event_id))

        self.use(work)

    def events(self):
        def work(connection):
            with connection.cursor() as cursor:
                cursor.execute("SELECT number, id FROM event ORDER BY number")
                return [[number, event_id, "request"] for number, event_id in cursor.fetchall()]

        return self.use(work)


class Lines:
    """A connection to a server that speaks in lines."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=60)
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server has ended")
        return line[:-2]

    def block(self, count):
        data = self.file.read(count + 2)
        if len(data) < count + 2:
            raise ConnectionError("the server has ended")
        return data[:-2]


class Keys(Place):
    """A list in Redis."""

    def connect(self):
        connection = Lines(self.address())
        self.call(connection, "AUTH", self.setting("PASSWORD"))
        return connection

    @classmethod
    def call(cls, connection, *words):
        parts = [word.encode() for word in words]
        connection.send(
            b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        return cls.answer(connection)

    @classmethod
    def answer(cls, connection):
        line = connection.line()
        kind, rest = line[:1], line[1:]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b"$":
            return None if int(rest) < 0 else connection.block(int(rest)).decode()
        if kind == b"*":
            return [cls.answer(connection) for _ in range(int(rest))]
        return rest.decode()

    def add(self, number, event_id):
        self.use(lambda connection: self.call(connection, "RPUSH", "events", f"{number}\t{event_id}\trequest"))

    def events(self):
        lines = self.use(lambda connection: self.call(connection, "LRANGE", "events", "0", "-1"))
        return events(line.split("\t") for line in lines)

    def count(self):
        return int(self.use(lambda connection: self.call(connection, "LLEN", "events")))


class Queue(Place):
    """Messages in RabbitMQ, each confirmed."""

    def connect(self):
        import pika

        host, port = self.address()
        credentials = pika.PlainCredentials(self.setting("USERNAME"), self.setting("PASSWORD"))
        # Without heartbeats, because nobody answers them between two requests.
        connection = pika.BlockingConnection(
            pika.ConnectionParameters(host, port, "/", credentials, heartbeat=0))
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("events", durable=True)
        return connection, channel, pika.BasicProperties(delivery_mode=2)

    def add(self, number, event_id):
        def work(connection):
            _, channel, persistent = connection
            body = f"{number}\t{event_id}\trequest".encode()
            channel.basic_publish("", "events", body, persistent, mandatory=True)

        self.use(work)

    def events(self):
        def work(connection):
            # What is taken and not acknowledged goes back when its channel ends.
            reader, lines = connection[0].channel(), []
            while True:
                method, _, body = reader.basic_get("events")
                if method is None:
                    break
                lines.append(body.decode().split("\t"))
            reader.close()
            return events(lines)

        return self.use(work)


class Cache(Place):
    """A counter in memcached."""

    def connect(self):
        connection = Lines(self.address())
        connection.send(b"add events 0 0 1\r\n0\r\n")
        connection.line()
        return connection

    def add(self, number, event_id):
        def work(connection):
            connection.send(b"incr events 1\r\n")
            connection.line()

        self.use(work)

    def count(self):
        def work(connection):
            connection.send(b"get events\r\n")
            if connection.line() == b"END":
                return 0
            count = int(connection.line())
            connection.line()
            return count

        return self.use(work)


def events(lines):
    return [[int(number), event_id, kind] for number, event_id, kind in lines]


def relationships(kinds):
    return {name: kind(name) for name, kind in kinds.items() if name.upper() + "_HOST" in os.environ}


def main():
    places = relationships({"sql": Table, "keys": Keys, "queue": Queue})
    caches = relationships({"session": Keys, "cache": Cache})
    write_event, sets = web.write_event, web.sets

    def write_everywhere(event_id, text):
        number = write_event(event_id, text)
        if number is not None:
            for place in [*places.values(), *caches.values()]:
                place.add(number, event_id)
        return number

    def sets_everywhere():
        found = sets()
        found.setdefault("places", {}).update({name: place.events() for name, place in places.items()})
        found["caches"] = {name: cache.count() for name, cache in caches.items()}
        return found

    web.write_event, web.sets = write_everywhere, sets_everywhere
    web.main()


if __name__ == "__main__":
    main()
