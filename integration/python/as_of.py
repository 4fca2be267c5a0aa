"""A real ZEO client that reads a storage as of a moment, and obeys one command per line.

    as_of.py CACHE ADDRESS SHARED [STORAGE]

The storage is "1" where no other name is given. Blobs come through a cache of its own in the folder CACHE, or, where SHARED is not empty, from the server's own blob
directory there.

read HEX    read everything by every method, and expect nothing of after transaction HEX, which is the last one; the
            answer has, as a tid, a digest of all that was read
broken N TEXT
            load the objects below N that are not in the cache, of which some must be there and others must fail with
            an error that has TEXT; the answer has, as a tid, how many failed
refused     try to commit, and expect that it must not
close       close the storage and end
"""
import hashlib
import json
import sys

import transaction
import ZEO.ClientStorage
import ZODB.blob
import ZODB.DB
import ZODB.POSException
import ZODB.utils


def check(true, text):
    if not true:
        raise AssertionError(text)


class Reader:

    def __init__(self, cache, address, shared, name='1'):
        host, port = address.rsplit(':', 1)
        self.storage = ZEO.ClientStorage.ClientStorage(
            (host, int(port)), storage=name, read_only=True, wait_timeout=60, blob_dir=shared or cache,
            shared_blob_dir=bool(shared))
        self.db = ZODB.DB(self.storage)

    def read(self, text):
        last, digest = bytes.fromhex(text), hashlib.sha256()
        check(self.storage.lastTransaction() == last, 'the last transaction is another one')
        objects = self.objects(last, digest)
        check(len(self.storage) == objects, 'len says %d, there are %d' % (len(self.storage), objects))
        self.transactions(last, digest)
        self.application(digest)
        return {'tid': digest.hexdigest()[:16]}

    def objects(self, last, digest):
        count, oid = 0, None
        while True:
            oid, tid, data, following = self.storage.record_iternext(oid)
            count += 1
            check(tid <= last and self.storage.getTid(oid) == tid, 'an object of after the moment')
            check(self.storage.loadBefore(oid, b'\x7f' + b'\xff' * 7)[:2] == (data, tid), 'loadBefore')
            check(self.storage.loadSerial(oid, tid) == data, 'loadSerial')
            history = self.storage.history(oid, 1000)
            check(history[0]['tid'] == tid and all(h['tid'] <= last for h in history), 'history of after the moment')
            digest.update(oid + tid + data + b'%d' % len(history))
            if following is None:
                return count
            oid = following

    def transactions(self, last, digest):
        for txn in self.storage.iterator():
            check(txn.tid <= last, 'a transaction of after the moment')
            for record in txn:
                digest.update(record.oid + record.tid + (record.data or b''))
        check(txn.tid == last, 'the iterator ends before the moment')
        for entry in self.storage.undoLog(0, 1000) + self.storage.undoInfo(0, -1000):
            digest.update(entry['id'])

    def application(self, digest):
        """Reads what is reached from the root, and it as of every transaction."""
        connection = self.db.open()
        for value in connection.root()['python'].values():
            if isinstance(value, ZODB.blob.Blob):
                with value.open() as f:
                    digest.update(f.read())
            else:
                digest.update(repr(sorted(value.items())).encode())
        connection.close()
        for txn in self.storage.iterator():
            then = self.db.open(at=txn.tid)
            digest.update(repr(sorted(then.root().keys())).encode())
            then.close()

    def broken(self, count, *text):
        failed = loaded = 0
        for oid in range(1, int(count)):
            try:
                self.storage.loadBefore(ZODB.utils.p64(oid), b'\x7f' + b'\xff' * 7)
                loaded += 1
            except ZODB.POSException.POSKeyError:
                pass
            except ZODB.POSException.StorageError as e:
                check(' '.join(text) in str(e), str(e))
                failed += 1
        check(loaded > 0, 'no object could be loaded')
        return {'tid': '%016x' % failed}

    def refused(self):
        connection = self.db.open(transaction.TransactionManager())
        connection.root()['refused'] = True
        try:
            connection.transaction_manager.commit()
        except ZODB.POSException.ReadOnlyError:
            connection.transaction_manager.abort()
            return {}
        raise AssertionError('the commit was taken')

    def close(self):
        self.db.close()
        return {}


def main():
    reader = Reader(*sys.argv[1:5])
    print(json.dumps({}), flush=True)
    for line in sys.stdin:
        command, *args = line.split()
        print(json.dumps(getattr(reader, command)(*args)), flush=True)
        if command == 'close':
            return


main()
