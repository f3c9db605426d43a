"""A small server's day, and a heap that does not shrink after it.

A rush of requests comes in: each is some text and a dictionary, all of them held at once. Of every fiftieth a session
is kept, made in the midst of the rush, so that it lies between the requests. Then the rush is over and its requests are
dropped: nearly all of its memory is free, and yet pinned by the few sessions that are spread over it. In the evening a
report is written whose lines have other sizes, so that the free blocks are of little use to it.
"""

import os
import sys

REQUESTS = 60_000
KEEP_EVERY = 50


class Session:
    __slots__ = ("user", "token", "basket")

    def __init__(self, number):
        self.user = "user-%06d" % number
        self.token = bytes(40 + number % 24)
        self.basket = [number, number + 1]


def read_request(number):
    return {
        "path": "/shop/item/%d/view" % number,
        "agent": "browser/%d.%d (a line of some length, as they are)" % (number % 90, number % 7),
        "body": bytes(100 + number % 400),
        "headers": ["host: shop", "cookie: %d" % number],
    }


def rush(sessions):
    """Holds all requests of the rush at once, and keeps a session for every fiftieth."""
    requests = []
    for number in range(REQUESTS):
        requests.append(read_request(number))
        if number % KEEP_EVERY == 0:
            sessions.append(Session(number))
    return requests


def evening_report(sessions):
    return ["%s had %r in the basket" % (session.user, session.basket) + " " * 700 for session in sessions]


def resident_mib():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE") / (1 << 20)


def main():
    sessions = []
    print("at the start     %6.1f MiB resident" % resident_mib())
    for day in range(3):
        requests = rush(sessions)
        print("day %d, rush      %6.1f MiB resident, %d requests" % (day, resident_mib(), len(requests)))
        del requests
        lines = evening_report(sessions)
        print("day %d, evening   %6.1f MiB resident, %d sessions" % (day, resident_mib(), len(lines)))
    sys.stdout.flush()
    # The interpreter would free everything on its way out; what the process holds now is what the report is to show.
    os._exit(0)


main()
