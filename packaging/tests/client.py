"""A ZEO client of the tests of packages.

client.py write ADDRESS NAME   commits a counter and a blob under NAME
client.py keep ADDRESS NAME    commits to NAME until the file NAME.stop is there, through restarts of the server;
                               what was acknowledged is at the end in NAME.count
client.py read ADDRESS NAME    prints the counter, and looks at the blob

ADDRESS is HOST:PORT or the path of a socket.
"""

import os
import sys
import tempfile
import time

import transaction
import ZEO
import ZODB.blob
from BTrees.Length import Length
from ZODB.POSException import POSError


def database(address, blobs, read_only):
    if "/" not in address:
        host, port = address.rsplit(":", 1)
        address = (host, int(port))
    return ZEO.DB(address, wait=True, wait_timeout=30, blob_dir=blobs, read_only=read_only)


def write(root, name):
    if name not in root:
        root[name] = Length(), ZODB.blob.Blob()
    counter, blob = root[name]
    counter.change(1)
    with blob.open("w") as f:
        f.write(b"%d" % counter())
    transaction.commit()
    return counter()


def read(root, name):
    counter, blob = root[name]
    with blob.open("r") as f:
        assert f.read() == b"%d" % counter(), "the blob is not of this transaction"
    return counter()


def keep(connection, name):
    told = 0
    while not os.path.exists(name + ".stop"):
        try:
            connection.sync()
            told = write(connection.root(), os.path.basename(name))
        except (POSError, OSError):
            transaction.abort()
            time.sleep(0.1)  # a client of a server that restarts
    with open(name + ".count", "w") as f:
        f.write("%d" % told)


def main(what, address, name):
    with tempfile.TemporaryDirectory() as blobs:
        run(what, database(address, blobs, what == "read"), name)


def run(what, db, name):
    connection = db.open()
    if what == "write":
        print(write(connection.root(), name))
    elif what == "read":
        print(read(connection.root(), name))
    else:
        keep(connection, name)
    transaction.abort()
    connection.close()
    db.close()


main(*sys.argv[1:])
