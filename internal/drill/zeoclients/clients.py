"""Real ZEO clients that commit all the time, each to an object of its own, until stdin ends.

    clients.py PAUSE HOST:PORT|PATH...

One line of JSON for each commit that was acknowledged, for each error, and for each commit that was acknowledged and is
not there any more: which client, when (seconds of Unix time), and the error or what was lost. The first line names the
version of ZEO and the clients.
"""
import importlib.metadata
import json
import logging
import os
import socket
import sys
import threading
import time

import transaction
import ZEO
import ZODB
from persistent.mapping import PersistentMapping

lock = threading.Lock()


def say(**what):
    with lock:
        sys.stdout.write(json.dumps(what) + '\n')
        sys.stdout.flush()


def connect(name, addresses, more):
    while True:
        try:
            return ZODB.DB(ZEO.client(addresses, wait_timeout=5, **more))
        except Exception as error:
            say(client=name, at=time.time(), error=repr(error)[:200])


def commits(name, db, pause):
    """Commits for as long as the process lives. An object that is not there, or not any more, is made."""
    manager = transaction.TransactionManager()
    connection, n, told = None, 0, 0  # told: the last one that was acknowledged
    key = '%s, ZEO %s' % (name, importlib.metadata.version('ZEO'))  # clients of other versions have the same names
    while True:
        n += 1
        try:
            if connection is None:
                connection = db.open(manager)
            manager.begin()
            root = connection.root()
            there = root[key]['n'] if key in root else 0
            if there < told:
                say(client=name, at=time.time(), lost='commit %d was acknowledged, and %d is there' % (told, there))
                told = there
            if key in root:
                root[key]['n'] = n
            else:
                root[key] = PersistentMapping(n=n)
            manager.commit()
            told = n
            say(client=name, at=time.time())
        except Exception as error:
            say(client=name, at=time.time(), error='%s: %s' % (type(error).__name__, str(error)[:200]))
            manager.abort()
        time.sleep(pause)


def run(names, addresses, more, pause):
    db = connect(names[0], addresses, more)
    for name in names[1:]:
        threading.Thread(target=commits, args=(name, db, pause), daemon=True).start()
    commits(names[0], db, pause)


def main(pause, *addresses):
    # A loaded resolver is not what is measured.
    socket.gethostbyaddr = lambda host: (host, [], [host])
    logging.basicConfig(stream=sys.stderr, level=logging.CRITICAL)
    there = [address if address.startswith('/') else (address.rsplit(':', 1)[0], int(address.rsplit(':', 1)[1]))
             for address in addresses]
    kinds = {
        ('plain',): (there, {}),
        ('reversed',): (there[::-1], {}),
        ('fallback',): (there, {'read_only_fallback': True}),
        ('thread 1', 'thread 2', 'thread 3'): (there, {}),
    }
    say(zeo=importlib.metadata.version('ZEO'), clients=[name for names in kinds for name in names])
    for names, (where, more) in kinds.items():
        threading.Thread(target=run, args=(names, where, more, float(pause)), daemon=True).start()
    sys.stdin.read()
    os._exit(0)


main(*sys.argv[1:])
