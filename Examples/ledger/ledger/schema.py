"""The deploy hook: brings the schema to what this code needs. Running it again changes nothing."""

from . import store

SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
    number bigserial PRIMARY KEY,
    id text NOT NULL UNIQUE,
    kind text NOT NULL,
    text text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    tallied boolean NOT NULL DEFAULT false
);
CREATE INDEX IF NOT EXISTS event_untallied ON event (number) WHERE NOT tallied;
CREATE TABLE IF NOT EXISTS duplicate (
    id text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""


def main():
    connection = store.connect()
    with connection, connection.cursor() as cursor:
        cursor.execute(SCHEMA)
    connection.close()
    print("schema is up to date")


if __name__ == "__main__":
    main()
