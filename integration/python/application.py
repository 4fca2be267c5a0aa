"""The application that writes: objects and blobs in a real ZODB, whichever storage is below it.

A script opens a storage and gives an Application to obey(), which reads one command per line from stdin and answers
each with one line of JSON.

commit N    change objects (and blobs, with a blob directory) in N transactions; answers with the last tid
create N    add N objects, each in a transaction of its own
large       change every object in one transaction of some megabytes, with a blob as large when there are blobs
annotate    commit with a user, a description and an extension of everything that may be in them
undo        undo the last transaction
pack        pack to the present, with garbage collection
vote        store and vote a transaction, and never finish it: what follows is a kill
last        nothing but the answer
close       close the storage and end
"""
import collections
import datetime
import decimal
import json
import os
import random
import sys
import uuid

import BTrees.IOBTree
import persistent.mapping
import transaction
import ZODB.blob
import ZODB.Connection
import ZODB.DB
import ZODB.utils

SIZES = 0, 1, 65536, 200000  # of blobs; zc.zrs sends them in blocks of 65,536 bytes
LARGE = 2 << 20


SHARED = ['the same list', 'twice']
EXTENSION = {
    'none': None, 'truth': (True, False), 'empty': ('', b'', (), [], {}),
    'integers': [0, 1, 255, 256, 65535, 65536, -1, -256, 2**31 - 1, 2**31, -2**31, -2**31 - 1, 2**63, -2**63, 2**2100],
    'floats': [0., -0.5, 1e300, float('inf')],
    'text': 'Ærø \ud7ff\U0001f40d\n\0', 'bytes': bytes(range(256)), 'long bytes': b'x' * 30000,
    'nested': {1: {(2, 'three'): [4, {5: (6,)}]}, b'bytes': None},
    'shared': [SHARED, SHARED], 'set': {1, 2}, 'frozen': frozenset('ab'),
    'classes': [datetime.datetime(2026, 1, 2, 3, 4, 5, 6), decimal.Decimal('1.10'), uuid.UUID(int=7), complex(1, 2)],
    'class': collections.OrderedDict,
}


class Application:

    def __init__(self, storage, with_blobs):
        self.storage = storage
        self.with_blobs = with_blobs
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
                self.fill(blob, SIZES[key // 3 % len(SIZES)])
            else:
                self.objects[key] = persistent.mapping.PersistentMapping(content=self.content())
            self.finish('create %d' % key)
        return self.last()

    def fill(self, blob, size):
        with blob.open('w') as f:
            f.write(os.urandom(size))

    def commit(self, count=1):
        if not len(self.objects):
            self.create(6)
        for _ in range(int(count)):
            key = random.randrange(len(self.objects))
            target = self.objects[key]
            if isinstance(target, ZODB.blob.Blob):
                self.fill(target, random.choice(SIZES))
            else:
                target['content'] = self.content()
            self.finish('change %d' % key)
        return self.last()

    def large(self):
        plain = [o for o in self.objects.values() if not isinstance(o, ZODB.blob.Blob)]
        blobs = [o for o in self.objects.values() if isinstance(o, ZODB.blob.Blob)]
        for target in plain:
            target['content'] = os.urandom(LARGE // len(plain))
        for target in blobs:
            self.fill(target, LARGE // len(blobs))
        self.finish('change everything')
        return self.last()

    def annotate(self):
        self.connection.root()['annotated'] = True
        txn = transaction.get()
        txn.user = ' Ærøskøbing'
        for name, value in EXTENSION.items():
            txn.setExtendedInfo(name, value)
        self.finish('\U0001f40d and ' + 'a long text ' * 500)
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


def obey(target):
    """Does what stdin says until it says close, or ends. Every command is a method of target."""
    print(json.dumps(target.last()), flush=True)
    for line in sys.stdin:
        command, *args = line.split()
        print(json.dumps(getattr(target, command)(*args)), flush=True)
        if command == 'close':
            break
