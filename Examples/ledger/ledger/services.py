"""The web app with more places: each event of a request is also in MariaDB, Redis, RabbitMQ and InfluxDB before it is answered,
and in two caches. `GET /sets` has the places' events under `places`, and how many events the caches hold under `caches`.

It takes those of the relationships `sql`, `keys`, `queue`, `points`, `session` and `cache` that there are; it is started in
place of `ledger.web`, and needs Debian's `python3-pymysql` and `python3-pika` for the first and the third.
"""

import base64
import http.client
import itertools
import json
import os
import queue
import socket
import urllib.parse

from . import web

CONNECTIONS = 4


class Place:
    """A few connections, made when they are needed, each used by one thread at a time."""

    def __init__(self, relationship):
        self.prefix = relationship.upper() + "_"
        self.free = queue.LifoQueue()
        for _ in range(CONNECTIONS):
            self.free.put(None)

    def setting(self, name):
        return os.environ.get(self.prefix + name, "")

    def address(self):
        return self.setting("HOST"), int(self.setting("PORT"))

    def use(self, work):
        """Runs `work(connection)`. A connection that failed is not used again."""
        connection, usable = self.free.get(), None
        try:
            if connection is None:
                connection = self.connect()
            result = work(connection)
            usable = connection
            return result
        finally:
            self.free.put(usable)


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
                "CREATE TABLE IF NOT EXISTS event (number bigint PRIMARY KEY, id varchar(100) NOT NULL, "
                "kind varchar(20) NOT NULL) ENGINE = InnoDB")
        return connection

    def add(self, number, event_id, kind):
        def work(connection):
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO event VALUES (%s, %s, %s)", (number, event_id, kind))

        self.use(work)

    def events(self):
        def work(connection):
            with connection.cursor() as cursor:
                cursor.execute("SELECT number, id, kind FROM event ORDER BY number")
                return [list(row) for row in cursor.fetchall()]

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

    def add(self, number, event_id, kind):
        self.use(lambda connection: self.call(connection, "RPUSH", "events", f"{number}\t{event_id}\t{kind}"))

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

    def add(self, number, event_id, kind):
        def work(connection):
            _, channel, persistent = connection
            body = f"{number}\t{event_id}\t{kind}".encode()
            channel.basic_publish("", "events", body, persistent, mandatory=True)

        self.use(work)

    def events(self):
        def work(connection):
            reader, lines = connection[0].channel(), []
            count = reader.queue_declare("events", passive=True).method.message_count
            last = None
            for method, _, body in itertools.islice(reader.consume("events", inactivity_timeout=30), count):
                if method is None:
                    break
                last = method.delivery_tag
                lines.append(body.decode().split("\t"))
            if last is not None:
                # What was taken goes back.
                reader.basic_nack(last, multiple=True, requeue=True)
            reader.cancel()
            reader.close()
            return events(lines)

        return self.use(work)


class Points(Place):
    """Points in InfluxDB; the time of each is the event's number."""

    def connect(self):
        return http.client.HTTPConnection(*self.address(), timeout=60)

    def call(self, connection, method, path, body=None, **query):
        login = base64.b64encode(f"{self.setting('USERNAME')}:{self.setting('PASSWORD')}".encode()).decode()
        address = path + "?" + urllib.parse.urlencode({"db": self.setting("PATH"), **query})
        connection.request(method, address, body, {"Authorization": "Basic " + login})
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status >= 300:
            raise RuntimeError(text)
        return text

    def add(self, number, event_id, kind):
        line = f'event id="{event_id}",kind="{kind}" {number}'
        self.use(lambda connection: self.call(connection, "POST", "/write", line, precision="ns"))

    def events(self):
        text = self.use(lambda connection: self.call(
            connection, "GET", "/query", q='SELECT "id", "kind" FROM "event"', epoch="ns"))
        result = json.loads(text)["results"][0]
        if "error" in result:
            raise RuntimeError(result["error"])
        return [row for series in result.get("series", []) for row in series["values"]]


class Cache(Place):
    """A counter in memcached."""

    def connect(self):
        connection = Lines(self.address())
        connection.send(b"add events 0 0 1\r\n0\r\n")
        connection.line()
        return connection

    def add(self, number, event_id, kind):
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


def lasting():
    """What has to have all events."""
    return relationships({"sql": Table, "keys": Keys, "queue": Queue, "points": Points})


def main():
    places = lasting()
    caches = relationships({"session": Keys, "cache": Cache})
    write_event, sets = web.write_event, web.sets

    def write_everywhere(event_id, text):
        number = write_event(event_id, text)
        if number is not None:
            for place in [*places.values(), *caches.values()]:
                place.add(number, event_id, "request")
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
