"""Packs storages with the real ZODB and prints, as JSON, what came of each: null, or the name of the exception.

    pack.py JOBS

JOBS is a file with a list of {"data": path, "blobs": path or "", "time": seconds since 1970, "gc": bool}. A storage that
is to be read only, without a time, is opened, iterated and loaded instead.
"""
import json
import logging
import sys

import ZODB.FileStorage
import ZODB.POSException
import ZODB.serialize
import ZODB.utils


def pack(storage, job):
    storage.pack(job['time'], ZODB.serialize.referencesf, gc=job['gc'])


def read(storage):
    for txn in storage.iterator():
        for record in txn:
            assert record.tid == txn.tid
    for oid in storage._index:
        try:
            ZODB.utils.load_current(storage, oid)
        except ZODB.POSException.POSKeyError:
            pass


def main(jobs):
    logging.disable(logging.CRITICAL)
    with open(jobs) as f:
        jobs = json.load(f)
    answers = []
    for job in jobs:
        reading = job['time'] == 0
        storage = ZODB.FileStorage.FileStorage(job['data'], blob_dir=job['blobs'] or None, read_only=reading)
        try:
            if reading:
                read(storage)
            else:
                pack(storage, job)
            answers.append(None)
        except Exception as e:
            answers.append(type(e).__name__)
        finally:
            storage.close()
    print(json.dumps(answers))


main(*sys.argv[1:])
