"""The worker: marks events as tallied and writes their numbers to a second file, one event at a time.

It can be quiesced: on USR1 it ends the event it is at, says so, and stands still until USR2.
"""

import os
import select
import signal
import socket
import sys
import time

from . import store

quiesce = False


def on_quiesce(*_):
    global quiesce
    quiesce = True


def on_resume(*_):
    global quiesce
    quiesce = False


def say_quiesced():
    """Tells the supervisor that nothing is half done."""
    path = os.environ.get("HOLDFAST_NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"QUIESCED=1", path)


def tally_one(connection):
    """Tallies the oldest event that was not yet; False if there is none."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT number FROM event WHERE NOT tallied ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED")
        row = cursor.fetchone()
        if row is None:
            return False
        cursor.execute("UPDATE event SET tallied = true WHERE number = %s", row)
    store.append_line(store.TALLY_FILE, str(row[0]))
    return True


def rest(signals):
    """Waits a moment, or until there is a signal: a worker with nothing to do stands still at once."""
    if select.select([signals], [], [], 0.05)[0]:
        signals.recv(100)


def main():
    signals, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGUSR1, on_quiesce)
    signal.signal(signal.SIGUSR2, on_resume)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    connection = store.connect()
    while True:
        if quiesce:
            say_quiesced()
            while quiesce:
                time.sleep(0.01)
        if not tally_one(connection):
            rest(signals)


if __name__ == "__main__":
    main()
