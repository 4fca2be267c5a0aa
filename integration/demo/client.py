"""An application as a site has it: a real ZEO client that changes objects and blobs, and says what it was told.

    client.py HOST:PORT CACHE OBJECTS BLOBS

It makes the objects in one transaction, waits for a line on standard input, and commits then, about 100 times a second,
until standard input ends. For each commit that was acknowledged it prints the tid.
"""
import os
import random
import sys
import threading

import persistent.mapping
import transaction
import ZEO
import ZODB
import ZODB.blob


def fill(target):
    if isinstance(target, ZODB.blob.Blob):
        with target.open('w') as f:
            f.write(os.urandom(random.randrange(300000)))
    else:
        target['content'] = os.urandom(random.randrange(2000))


def main(address, cache, objects, blobs):
    host, port = address.rsplit(':', 1)
    storage = ZEO.client((host, int(port)), blob_dir=cache, shared_blob_dir=False, wait_timeout=30)
    db = ZODB.DB(storage)
    connection = db.open()
    root = connection.root()
    for i in range(int(objects)):
        root[i] = ZODB.blob.Blob() if i < int(blobs) else persistent.mapping.PersistentMapping()
        fill(root[i])

    def commit():
        transaction.commit()
        print(storage.lastTransaction().hex(), flush=True)

    commit()
    sys.stdin.readline()
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    while not over.wait(.01):
        fill(root[random.randrange(int(objects))])
        commit()
    db.close()


main(*sys.argv[1:])
