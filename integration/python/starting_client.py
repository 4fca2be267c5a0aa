"""A real ZEO client that starts while no server may be writable, commits once, and ends.

    starting_client.py ADDRESS...

ZEO.client waits for the connection. What follows is tried again as long as it fails for a reason that passes, as applications do.
"""
import sys

import transaction
import ZEO
import ZODB
from transaction.interfaces import TransientError


def commit(storage):
    db = ZODB.DB(storage)
    with db.transaction() as connection:
        connection.root()['started'] = connection.root().get('started', 0) + 1
    db.close()


def main(addresses):
    servers = [(host, int(port)) for host, port in (a.rsplit(':', 1) for a in addresses)]
    storage = ZEO.client(servers, wait_timeout=60)
    while True:
        try:
            return commit(storage)
        except TransientError as e:
            print('tries again after:', e, file=sys.stderr)
            transaction.abort()


main(sys.argv[1:])
