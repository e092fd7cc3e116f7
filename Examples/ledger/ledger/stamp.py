"""The cron: writes an event of its own to every place."""

import uuid

from . import services, store


def main():
    event_id = "cron-" + str(uuid.uuid4())
    connection = store.connect()
    with connection, connection.cursor() as cursor:
        number = store.insert(cursor, event_id, "cron", "stamped by the cron")
    connection.close()
    store.record(number, event_id, "cron")
    for place in services.lasting().values():
        place.add(number, event_id, "cron")
    print(f"stamped event {number}")


if __name__ == "__main__":
    main()
