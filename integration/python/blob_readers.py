"""Makes blobs whose content tells by their oid what it has to be, and reads them through a real ZEO client.

    blob_readers.py fill DATA BLOBS LIST NUMBER SIZE     with the real FileStorage; which blobs there are goes into LIST
    blob_readers.py write ADDRESS CACHE LIST NUMBER SIZE  through a server; each that is acknowledged is printed
    blob_readers.py rewrite ADDRESS CACHE LIST            each once more, as a new revision of the same object
    blob_readers.py read ADDRESS CACHE LIST SEED COUNT    COUNT of them, at random; what came is printed as JSON
    blob_readers.py once ADDRESS CACHE LIST               each once; how many came, and what the errors were, is printed

A read that the server refuses, or that is cut, is made again. A POSKeyError says that there is no such blob: it counts
as wrong.
"""
import hashlib
import json
import random
import sys
import time

import transaction
import ZEO.ClientStorage
import ZEO.Exceptions
import ZODB
import ZODB.blob
import ZODB.FileStorage
import ZODB.POSException
from persistent.mapping import PersistentMapping


def content(name, size):
    digest = hashlib.sha256(name.encode()).digest()
    return (digest * (size // len(digest) + 1))[:size]


def address(text):
    host, port = text.rsplit(':', 1)
    return host, int(port)


def make(db, count, size, each, per_transaction):
    connection = db.open()
    root = connection.root()
    for first in range(0, count, per_transaction):
        holder = root['%d' % first] = PersistentMapping()
        made = []
        for i in range(first, min(first + per_transaction, count)):
            holder[i] = blob = ZODB.blob.Blob()
            with blob.open('w') as f:
                f.write(content(str(i), size))
            made.append((i, blob))
        transaction.commit()
        for i, blob in made:
            blob._p_activate()  # a commit makes a ghost of it, which has no serial
            each([str(i), blob._p_oid.hex(), blob._p_serial.hex(), size])
        connection.cacheMinimize()
    connection.close()


def fill(data, blobs, path, count, size):
    db = ZODB.DB(ZODB.FileStorage.FileStorage(data, blob_dir=blobs))
    listed = []
    make(db, int(count), int(size), listed.append, 500)
    db.close()
    with open(path, 'w') as f:
        json.dump(listed, f)
    print('{}')


def write(server, cache, path, count, size):
    storage = ZEO.ClientStorage.ClientStorage(address(server), blob_dir=cache, wait_timeout=60)
    db = ZODB.DB(storage)
    with open(path, 'w') as f:
        def each(one):
            f.write(json.dumps(one) + '\n')
            f.flush()
        try:
            make(db, int(count), int(size), each, 1)
        except (ZODB.POSException.StorageError, ZEO.Exceptions.ClientDisconnected):
            pass  # the server was killed: what was acknowledged is in the list
    print('{}')


def rewrite(server, cache, path):
    with open(path) as f:
        blobs = json.load(f)
    db = ZODB.DB(ZEO.ClientStorage.ClientStorage(address(server), blob_dir=cache, wait_timeout=60))
    connection = db.open()
    for first in range(0, len(blobs), 10):
        made = [(one, connection.get(bytes.fromhex(one[1]))) for one in blobs[first:first + 10]]
        for one, blob in made:
            with blob.open('w') as f:
                f.write(content(one[0], one[3]))
        transaction.commit()
        for one, blob in made:
            blob._p_activate()
            one[2] = blob._p_serial.hex()
    with open(path, 'w') as f:
        json.dump(blobs, f)
    connection.close()
    db.close()
    print('{}')


def read(server, cache, path, seed, count):
    with open(path) as f:
        blobs = json.load(f)
    storage = ZEO.ClientStorage.ClientStorage(address(server), blob_dir=cache, blob_cache_size=1, read_only=True,
                                              wait_timeout=60)
    choose = random.Random(int(seed))
    found = {'right': 0, 'wrong': [], 'again': 0}
    for _ in range(int(count)):
        name, oid, serial, size = choose.choice(blobs)
        while True:
            try:
                with open(storage.loadBlob(bytes.fromhex(oid), bytes.fromhex(serial)), 'rb') as f:
                    got = f.read()
                break
            except ZODB.POSException.POSKeyError as e:
                got = repr(e).encode()
                break
            except (ZODB.POSException.StorageError, ZEO.Exceptions.ClientDisconnected, OSError):
                found['again'] += 1
                time.sleep(.05)
        if got == content(name, size):
            found['right'] += 1
        else:
            found['wrong'].append([name, len(got), got[:80].decode('latin-1')])
    storage.close()
    print(json.dumps(found))


def once(server, cache, path):
    with open(path) as f:
        blobs = json.load(f)
    # Without a size to keep: the client may remove a blob between its download and its opening.
    storage = ZEO.ClientStorage.ClientStorage(address(server), blob_dir=cache, read_only=True, wait_timeout=60)
    found = {'right': 0, 'wrong': 0, 'errors': []}
    for name, oid, serial, size in blobs:
        try:
            with open(storage.loadBlob(bytes.fromhex(oid), bytes.fromhex(serial)), 'rb') as f:
                found['right' if f.read() == content(name, size) else 'wrong'] += 1
        except Exception as e:
            found['errors'].append('%s: %s' % (type(e).__name__, e))
    storage.close()
    print(json.dumps(found))


if __name__ == '__main__':
    globals()[sys.argv[1]](*sys.argv[2:])
