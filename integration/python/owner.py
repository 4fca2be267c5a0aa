"""A real ZODB that owns a Data.fs: obeys one command per line on stdin, answers each with one line of JSON.

    owner.py DATA [BLOBS]

commit N    change objects (and blobs, with a blob directory) in N transactions; answers with the last tid
create N    add N objects, each in a transaction of its own
undo        undo the last transaction
pack        pack to the present, with garbage collection
vote        store and vote a transaction, and never finish it: what follows is a kill
close       close the storage and end

Exits with 3 when another process holds the lock of the Data.fs.
"""
import json
import os
import random
import sys

import BTrees.IOBTree
import persistent.mapping
import transaction
import zc.lockfile
import ZODB.blob
import ZODB.Connection
import ZODB.DB
import ZODB.FileStorage
import ZODB.utils

LOCKED = 3


class Owner:

    def __init__(self, data, blobs):
        self.storage = ZODB.FileStorage.FileStorage(data, blob_dir=blobs)
        self.with_blobs = blobs is not None
        self.db = ZODB.DB(self.storage)
        self.connection = self.db.open()
        root = self.connection.root()
        if 'python' not in root:
            root['python'] = BTrees.IOBTree.IOBTree()
            self.finish('make room')
        self.objects = root['python']

    def finish(self, note):
        txn = transaction.get()
        txn.note(note)
        txn.setExtendedInfo('by', 'owner.py')
        txn.commit()

    def last(self):
        return {'tid': self.storage.lastTransaction().hex()}

    def content(self):
        return os.urandom(random.randrange(3000))

    def create(self, count=1):
        for _ in range(int(count)):
            key = len(self.objects)
            if self.with_blobs and key % 3 == 2:
                self.objects[key] = blob = ZODB.blob.Blob()
                self.fill(blob)
            else:
                self.objects[key] = persistent.mapping.PersistentMapping(content=self.content())
            self.finish('create %d' % key)
        return self.last()

    def fill(self, blob):
        with blob.open('w') as f:
            f.write(os.urandom(random.choice([0, 1, 65536, 200000])))

    def commit(self, count=1):
        if not len(self.objects):
            self.create(6)
        for _ in range(int(count)):
            key = random.randrange(len(self.objects))
            target = self.objects[key]
            if isinstance(target, ZODB.blob.Blob):
                self.fill(target)
            else:
                target['content'] = self.content()
            self.finish('change %d' % key)
        return self.last()

    def undo(self):
        self.db.undo(self.db.undoLog(0, 1)[0]['id'])
        self.finish('undo')
        self.connection.sync()
        return self.last()

    def pack(self):
        self.db.pack()
        return self.last()

    def vote(self):
        txn = ZODB.Connection.TransactionMetaData()
        self.storage.tpc_begin(txn)
        self.storage.store(self.storage.new_oid(), ZODB.utils.z64, b'never finished' * 1000, '', txn)
        self.storage.tpc_vote(txn)
        return self.last()

    def close(self):
        answer = self.last()
        self.connection.close()
        self.db.close()
        return answer


def main(data, blobs=None):
    try:
        owner = Owner(data, blobs)
    except zc.lockfile.LockError as e:
        print(json.dumps({'error': 'LockError: %s' % e}), flush=True)
        return LOCKED
    print(json.dumps(owner.last()), flush=True)
    for line in sys.stdin:
        command, *args = line.split()
        print(json.dumps(getattr(owner, command)(*args)), flush=True)
        if command == 'close':
            break


sys.exit(main(*sys.argv[1:]))
