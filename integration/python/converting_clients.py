"""Two real ZEO clients that commit and read blobs all the time, while the layout of the server's blob directory changes.

    converting_clients.py ADDRESS BLOBS CACHE

One shares the blob directory BLOBS, the other has a cache of its own, which forgets what it has. Each commits a blob,
then reads those of both. Commands, a line each, answered with a line of JSON:

    round     returns when each client has committed and read everything once more
    restart   the client that shares the directory is closed, and opened again: it reads the layout anew
    close     ends

What a server that is killed cuts off is done again. A POSKeyError says that there is no such blob: it is an error.
"""
import hashlib
import json
import os
import sys
import threading
import time

import transaction
import ZEO
import ZEO.Exceptions
import ZODB.blob
import ZODB.POSException
from persistent.mapping import PersistentMapping

address, blobs, cache = sys.argv[1:]
NAMES = ('shared', 'private')
FIRST = 30
AGAIN = (ZEO.Exceptions.ClientDisconnected, ZODB.POSException.ConflictError, ZODB.POSException.StorageTransactionError)


def content(name):
    digest = hashlib.sha256(name.encode()).digest()
    return digest * (1 + digest[0])


def connect(shared):
    return ZEO.DB(address, blob_dir=blobs if shared else cache, shared_blob_dir=shared, wait_timeout=60)


class Client(threading.Thread):
    def __init__(self, name):
        threading.Thread.__init__(self, daemon=True)
        self.name, self.error, self.rounds = name, None, 0
        self.ending = threading.Event()
        self.start()

    def run(self):
        try:
            self.db = connect(self.name == 'shared')
            while not self.ending.is_set():
                self.again(self.commit)
                self.again(self.read)
                self.rounds += 1
            self.db.close()
        except BaseException as e:
            self.error = '%s: %s: %s' % (self.name, type(e).__name__, e)

    def again(self, do):
        manager = transaction.TransactionManager()
        while True:
            try:
                connection = self.db.open(manager)
                try:
                    return do(connection, manager)
                finally:
                    manager.abort()
                    connection.close()
            except ZODB.POSException.POSKeyError:
                raise
            except AGAIN:
                time.sleep(.02)

    def commit(self, connection, manager):
        mine = connection.root()[self.name]
        name = '%s %d' % (self.name, len(mine))
        mine[name] = ZODB.blob.Blob(content(name))
        manager.commit()

    def read(self, connection, manager):
        if self.name == 'private':
            for folder, _, names in os.walk(cache):
                for name in names:
                    if name.endswith('.blob'):
                        os.remove(os.path.join(folder, name))
        for whose in NAMES:
            for name, blob in list(connection.root()[whose].items()):
                with blob.open() as f:
                    if f.read() != content(name):
                        raise ValueError('blob %s has other content' % name)


def main():
    db = connect(False)
    with db.transaction() as connection:
        for name in NAMES:
            connection.root()[name] = PersistentMapping()
        for i in range(FIRST):
            name = 'private %d' % i
            connection.root()['private'][name] = ZODB.blob.Blob(content(name))
    db.close()
    clients = {name: Client(name) for name in NAMES}

    def answer():
        error = '; '.join(c.error for c in clients.values() if c.error)
        print(json.dumps({'tid': '0' * 16, 'error': error}), flush=True)

    def wait_for_rounds():
        before = {name: c.rounds for name, c in clients.items()}
        while any(c.rounds < before[name] + 2 and not c.error for name, c in clients.items()):
            time.sleep(.02)

    answer()
    for line in sys.stdin:
        command = line.strip()
        if command == 'round':
            wait_for_rounds()
        elif command == 'restart':
            clients['shared'].ending.set()
            clients['shared'].join()
            if not clients['shared'].error:
                clients['shared'] = Client('shared')
        elif command == 'close':
            for c in clients.values():
                c.ending.set()
            for c in clients.values():
                c.join()
            answer()
            break
        answer()


main()
