"""Compares two storages transaction by transaction with the real ZODB and prints what it found as JSON.

    differences.py all|packed DATA_A BLOBS_A DATA_B BLOBS_B      a blob directory may be empty text: none

Compared are tid, status, user, description and the extension dictionary of every transaction, and oid, data, data_txn
and blob of every record. Extensions are compared as what they say: zc.zrs sends the dictionary, not its bytes.

With `packed`, A has been packed since B replicated it: everything in A must be in B, which has more. A pack marks what
it touched with a status of its own and copies data that were referred to, so status and data_txn may differ.

It counts apart the empty blobs for which one side has no file. A zc.zrs secondary makes no file for those.
"""
import json
import os
import sys

import ZODB.blob
import ZODB.FileStorage
import ZODB.POSException
import ZODB.utils

SHOWN = 20


class Comparison:

    def __init__(self, a, b, packed):
        self.a, self.b, self.packed = a, b, packed
        self.found = {'transactions': 0, 'records': 0, 'blobs': 0, 'no_empty_blob': 0, 'differences': []}

    def differ(self, what, left, right):
        if len(self.found['differences']) < SHOWN:
            self.found['differences'].append('%s: %.200r and %.200r' % (what, left, right))

    def check(self, what, left, right):
        if left != right:
            self.differ(what, left, right)
        return left == right

    def storages(self):
        left, right = self.a.iterator(), self.b.iterator()
        while True:
            t, u = next(left, None), next(right, None)
            while self.packed and t and u and u.tid < t.tid:
                u = next(right, None)
            if t is None or u is None:
                if t or not self.packed:
                    self.check('one side ends first', t and t.tid.hex(), u and u.tid.hex())
                return
            self.transactions(t, u)

    def transactions(self, t, u):
        self.found['transactions'] += 1
        if not self.check('tid', t.tid.hex(), u.tid.hex()):
            return
        name = 'transaction %s ' % t.tid.hex()
        if not self.packed:
            self.check(name + 'status', t.status, u.status)
        for field in 'user', 'description', 'extension':
            self.check(name + field, getattr(t, field), getattr(u, field))
        left, right = list(t), list(u)
        if self.packed:
            kept = {r.oid for r in left}
            right = [s for s in right if s.oid in kept]
        if self.check(name + 'oids', [r.oid.hex() for r in left], [r.oid.hex() for r in right]):
            for r, s in zip(left, right):
                self.records(name + 'oid %s ' % r.oid.hex(), r, s)

    def records(self, name, r, s):
        self.found['records'] += 1
        self.check(name + 'data', r.data, s.data)
        if not self.packed:
            self.check(name + 'data_txn', r.data_txn, s.data_txn)
        if r.data and ZODB.blob.is_blob_record(r.data):
            self.blobs(name + 'blob', blob(self.a, r), blob(self.b, s))

    def blobs(self, name, left, right):
        self.found['blobs'] += 1
        if bool(left) != bool(right) and not os.path.getsize(left or right):
            self.found['no_empty_blob'] += 1
        elif left and right:
            with open(left, 'rb') as f, open(right, 'rb') as g:
                self.check(name, f.read(), g.read())
        else:
            self.check(name, left, right)


def blob(storage, record):
    """The file of a record's blob, None without one."""
    try:
        return storage.loadBlob(record.oid, record.tid)
    except ZODB.POSException.POSKeyError:
        return None


def opened(data, blobs):
    return ZODB.FileStorage.FileStorage(data, read_only=True, blob_dir=blobs or None)


def main(mode, data_a, blobs_a, data_b, blobs_b):
    comparison = Comparison(opened(data_a, blobs_a), opened(data_b, blobs_b), mode == 'packed')
    comparison.storages()
    print(json.dumps(comparison.found, indent=1))


main(*sys.argv[1:])
