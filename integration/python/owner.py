"""A real ZODB that owns a Data.fs and obeys the commands of application.py.

    owner.py DATA [BLOBS]

Exits with 3 when another process holds the lock of the Data.fs.
"""
import json
import sys

import application
import zc.lockfile
import ZODB.FileStorage

LOCKED = 3


def main(data, blobs=None):
    try:
        storage = ZODB.FileStorage.FileStorage(data, blob_dir=blobs)
    except zc.lockfile.LockError as e:
        print(json.dumps({'error': 'LockError: %s' % e}), flush=True)
        return LOCKED
    application.obey(application.Application(storage, blobs is not None))


sys.exit(main(*sys.argv[1:]))
