"""A ZEO client under load that writes down what it is told, as the package internal/consistency reads it.

    zeo_history.py setup|writer|reader NAME DIR ADDRESS

setup makes the objects. A writer changes some of a few objects, so that there are conflicts with the others,
sometimes a blob, and often adds a key to a tree that all share and one to the counter of its keys. A reader only reads.
Each prints an empty JSON object when it has begun, and at its end the last tid. Writers and readers go on until a line
comes on stdin. The log NAME.log, the persistent cache and the cache of blobs are in DIR. From time to time the client is
closed, and opened again with the same caches.
"""
import hashlib
import json
import os
import random
import sys
import threading
import time

import BTrees.Length
import BTrees.OOBTree
import persistent.mapping
import transaction
import transaction.interfaces
import zc.lockfile
import ZEO.ClientStorage
import ZODB.blob
import ZODB.DB
import ZODB.POSException
import ZODB.utils

HOT = 8
BLOBS = 2
REOPEN = 60  # transactions, on average
CACHE = 200_000  # small, so that objects leave it
PAUSE = 0.01  # seconds between snapshots of a reader, so that writers get on


class RecordingStorage(ZEO.ClientStorage.ClientStorage):
    """Notes each commit with what it is based on, and what came of it."""

    def __init__(self, note, *args, **kw):
        self.note = note
        self.written = self.extra = {}
        super().__init__(*args, **kw)

    def announce(self, values, **extra):
        """Tells the values that the next commit gives to objects."""
        self.written, self.extra = values, extra

    def tpc_begin(self, *args, **kw):
        super().tpc_begin(*args, **kw)
        self.reads, self.resolved = {}, []

    def store(self, oid, serial, *args):
        self.reads[oid.hex()] = {'serial': (serial or ZODB.utils.z64).hex()}
        return super().store(oid, serial, *args)

    def tpc_vote(self, txn):
        resolved = super().tpc_vote(txn)
        self.resolved = [oid.hex() for oid in resolved or ()]
        return resolved

    def tpc_finish(self, *args, **kw):
        writes = {oid: self.written.get(oid, '') for oid in self.reads}
        about = dict(self.extra, wrote=writes, read=self.reads, resolved=self.resolved)
        try:
            tid = super().tpc_finish(*args, **kw)
        except Exception:
            self.note('unknown', **about)
            raise
        self.note('commit', tid=tid.hex(), **about)
        return tid

    def receiveBlobStart(self, oid, serial):
        # ZEO appends a blob to what an interrupted download of it has left, and keeps the sum of both in its cache: it
        # finds that out by an assertion, which its event loop logs.
        left = self.fshelper.getBlobFilename(oid, serial) + '.dl'
        if os.path.exists(left):
            os.remove(left)
        super().receiveBlobStart(oid, serial)


def oid_of(obj):
    return obj._p_oid.hex()


def digest(content):
    return hashlib.sha256(content).hexdigest()


def value_of(obj):
    """The value of an object, as the tests find it in the file."""
    if isinstance(obj, ZODB.blob.Blob):
        with obj.open('r') as f:
            return digest(f.read())
    if isinstance(obj, BTrees.Length.Length):
        return str(obj())
    return obj['value']


class Client:

    def __init__(self, name, folder, address, read_only):
        host, port = address.rsplit(':', 1)
        self.name, self.folder, self.address, self.read_only = name, folder, (host, int(port)), read_only
        self.log = open(os.path.join(folder, name + '.log'), 'a')
        self.values = 0  # made so far
        self.connect()

    def connect(self):
        self.storage = RecordingStorage(
            self.note, self.address, client=self.name, var=self.folder, cache_size=CACHE, read_only=self.read_only,
            wait_timeout=60, blob_dir=os.path.join(self.folder, self.name + '.blobs'))
        self.note('connect')
        self.db = ZODB.DB(self.storage)
        self.connection = self.db.open()

    def close(self):
        transaction.abort()
        self.connection.close()
        self.db.close()

    def reopen(self):
        """Closes the client, and opens it again with the same caches but without objects."""
        self.close()
        while True:
            try:
                return self.connect()
            except (
                transaction.interfaces.TransientError,  # the server went away meanwhile
                zc.lockfile.LockError,  # the client that was closed takes its time
            ) as e:
                self.note('failed', error=repr(e))
                self.storage.close()

    def note(self, kind, **what):
        self.log.write(json.dumps(dict(what, kind=kind)) + '\n')
        self.log.flush()

    def new_value(self):
        self.values += 1
        return '%s-%d' % (self.name, self.values)

    def setup(self):
        root = self.connection.root()
        root['hot'] = [persistent.mapping.PersistentMapping() for _ in range(HOT)]
        root['blobs'] = [ZODB.blob.Blob() for _ in range(BLOBS)]
        root['tree'] = BTrees.OOBTree.OOBTree()
        root['counter'] = BTrees.Length.Length()
        for obj in root['hot'] + root['blobs'] + [root['tree'], root['counter']]:
            self.connection.add(obj)
        self.storage.announce(self.change(root['hot'] + root['blobs']))
        transaction.commit()

    def change(self, objects):
        """Gives new values to objects, and returns them by oid."""
        values = {}
        for obj in objects:
            value = self.new_value()
            if isinstance(obj, ZODB.blob.Blob):
                content = value.encode() * random.choice([1, 20_000])
                with obj.open('w') as f:
                    f.write(content)
                value = digest(content)
            else:
                obj['value'] = value
            values[oid_of(obj)] = value
        return values

    def look(self, objects, count):
        """Reads objects in the present transaction, and sometimes counts the keys of the tree."""
        root = self.connection.root()
        seen = {}
        if count:
            seen['keys'] = len(root['tree'])
            objects = objects + [root['counter']]
        values = {oid_of(obj): {'value': value_of(obj), 'serial': obj._p_serial.hex()} for obj in objects}
        at = ZODB.utils.u64(self.connection._storage._start) - 1
        self.note('snapshot', tid=ZODB.utils.p64(at).hex(), read=values, **seen)

    def read(self):
        root = self.connection.root()
        if random.random() < 0.3:
            self.connection.cacheMinimize()
        blobs = root['blobs'] if random.random() < 0.3 else []
        self.look(random.sample(root['hot'], random.randint(2, HOT)) + blobs, random.random() < 0.3)
        time.sleep(PAUSE)

    def write(self):
        root = self.connection.root()
        objects = random.sample(root['hot'], random.randint(1, 4))
        if random.random() < 0.2:
            objects.append(random.choice(root['blobs']))
        self.look(objects, random.random() < 0.1)
        values, extra = self.change(objects), {}
        if random.random() < 0.5:
            key = self.new_value()
            root['tree'][key] = None
            root['counter'].change(1)
            extra = {'key': key, 'adds': {oid_of(root['counter']): 1}}
        self.storage.announce(values, **extra)
        transaction.commit()

    def work(self, step, stopped):
        while not stopped.is_set():
            if random.randrange(REOPEN) == 0:
                self.reopen()
            transaction.begin()
            try:
                step()
            except (
                transaction.interfaces.TransientError,  # conflicts, and lost connections
                ZODB.POSException.StorageTransactionError,  # a connection lost and made again in a transaction
                ZODB.POSException.POSKeyError,  # a blob that a pack has removed
            ) as e:
                self.note('failed', error=repr(e))
            except ValueError as e:
                # A client keeps a stock of oids. A server that has been started again does not know of them and gives
                # those that nobody has used to others, runzeo as well as zrsd. A client who then has two objects for an
                # oid is told so; but in aborting, ZODB disowns the older one, of which later changes go unnoticed.
                if 'already has the same oid' not in str(e):
                    raise
                self.note('failed', error=repr(e))
                self.reopen()
            transaction.abort()


def main(role, name, folder, address):
    client = Client(name, folder, address, role == 'reader')
    stopped = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), stopped.set()), daemon=True).start()
    print('{}', flush=True)
    if role == 'setup':
        client.setup()
    else:
        client.work(client.write if role == 'writer' else client.read, stopped)
    last = client.storage.lastTransaction().hex()
    client.close()
    print(json.dumps({'tid': last}), flush=True)


main(*sys.argv[1:])
