"""Reads all of a storage with the real ZODB and prints what it found as JSON.

    survey.py DATA [BLOBS]

Iterates over every transaction and record and reads the blobs of all revisions; then loads every object that the root
leads to through a connection, and its blob. Equal databases give equal output whichever program wrote them.
"""
import hashlib
import json
import sys

import ZODB.blob
import ZODB.DB
import ZODB.FileStorage
import ZODB.POSException
import ZODB.serialize
import ZODB.utils


def hash_file(path, digest):
    with open(path, 'rb') as f:
        while block := f.read(1 << 20):
            digest.update(block)


def history(storage, with_blobs):
    """Every transaction and record, and the blobs of all revisions."""
    digest, blob_digest = hashlib.sha256(), hashlib.sha256()
    transactions = records = blobs = 0
    last = ZODB.utils.z64  # lastTransaction() is wrong after an interrupted transaction
    for txn in storage.iterator():
        transactions += 1
        last = txn.tid
        head = (txn.tid, txn.status, txn.user, txn.description, txn.extension_bytes)
        digest.update(repr(head).encode())
        for record in txn:
            records += 1
            digest.update(repr((record.oid, record.tid, record.data)).encode())
            if with_blobs and record.data and ZODB.blob.is_blob_record(record.data):
                blobs += 1
                hash_file(storage.loadBlob(record.oid, record.tid), blob_digest)
    return {'last_tid': last.hex(), 'transactions': transactions, 'records': records, 'history': digest.hexdigest(),
            'blobs': blobs, 'blob_history': blob_digest.hexdigest()}


def current(storage, with_blobs):
    """What a user of the database sees: every object that the root leads to, loaded, with its blob."""
    digest = hashlib.sha256()
    db = ZODB.DB(storage)
    connection = db.open()
    found, dangling, waiting = set(), [], [ZODB.utils.z64]
    while waiting:
        oid = waiting.pop()
        if oid in found:
            continue
        found.add(oid)
        try:
            data, tid = ZODB.utils.load_current(storage, oid)
        except ZODB.POSException.POSKeyError:
            dangling.append(oid.hex())
            continue
        connection.get(oid)._p_activate()
        connection.cacheMinimize()
        waiting.extend(reversed(sorted(ZODB.serialize.referencesf(data))))
        digest.update(repr((oid, tid, data)).encode())
        if with_blobs and ZODB.blob.is_blob_record(data):
            hash_file(storage.loadBlob(oid, tid), digest)
    connection.close()
    return {'objects': len(found), 'current': digest.hexdigest(), 'dangling': dangling}


def main(data, blobs=None):
    storage = ZODB.FileStorage.FileStorage(data, read_only=True, blob_dir=blobs)
    found = history(storage, blobs is not None)
    found.update(current(storage, blobs is not None))
    print(json.dumps(found, sort_keys=True, indent=1))


main(*sys.argv[1:])
