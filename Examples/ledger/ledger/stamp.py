"""The cron: writes an event of its own to both places."""

import uuid

from . import store


def main():
    event_id = "cron-" + str(uuid.uuid4())
    connection = store.connect()
    with connection, connection.cursor() as cursor:
        number = store.insert(cursor, event_id, "cron", "stamped by the cron")
    connection.close()
    store.append_line(store.EVENTS_FILE, f"{number}\t{event_id}\tcron")
    print(f"stamped event {number}")


if __name__ == "__main__":
    main()
