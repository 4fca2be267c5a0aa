"""A real ZEO client whose tree is reverted by somebody else while it is connected. It obeys one command per line.

    revert.py CACHE ADDRESS

build       make a folder with objects, a BTree and a blob
oid         the answer has, as a tid, the oid of the folder
break       change all of it, delete some, create one
see HEX     wait until the connection is at that transaction, and expect everything as it was built
close       close the storage and end
"""
import json
import sys
import time

import persistent.mapping
import transaction
import BTrees.OOBTree
import ZEO
import ZODB.blob
import ZODB.DB


class Tree:

    def __init__(self, cache, address):
        host, port = address.rsplit(':', 1)
        self.storage = ZEO.client((host, int(port)), blob_dir=cache, shared_blob_dir=False, wait_timeout=60)
        self.db = ZODB.DB(self.storage)
        self.connection = self.db.open()

    def answer(self):
        transaction.commit()
        return {'tid': self.storage.lastTransaction().hex()}

    def build(self):
        folder = self.connection.root()['folder'] = persistent.mapping.PersistentMapping()
        folder['tree'] = BTrees.OOBTree.OOBTree({i: 'value %d' % i for i in range(100)})
        folder['inner'] = persistent.mapping.PersistentMapping(a=1)
        folder['blob'] = ZODB.blob.Blob(b'first content')
        return self.answer()

    def oid(self):
        return {'tid': self.connection.root()['folder']._p_oid.hex()}

    def damage(self):
        folder = self.connection.root()['folder']
        for i in range(0, 100, 3):
            folder['tree'][i] = 'wrong'
        self.answer()
        with folder['blob'].open('w') as f:
            f.write(b'wrong content')
        folder['inner']['a'] = 2
        self.answer()
        folder['new'] = persistent.mapping.PersistentMapping(b=1)
        for i in range(50, 100):
            del folder['tree'][i]
        return self.answer()

    def see(self, tid):
        while self.storage.lastTransaction().hex() < tid:
            time.sleep(.02)
        transaction.begin()
        folder = self.connection.root()['folder']
        assert sorted(folder) == ['blob', 'inner', 'tree'], sorted(folder)
        assert dict(folder['tree']) == {i: 'value %d' % i for i in range(100)}, dict(folder['tree'])
        folder['tree']._check()
        assert folder['inner']['a'] == 1
        with folder['blob'].open() as f:
            assert f.read() == b'first content'
        return {'tid': self.storage.lastTransaction().hex()}

    def close(self):
        self.db.close()
        return {}


def main():
    tree = Tree(*sys.argv[1:3])
    print(json.dumps({}), flush=True)
    for line in sys.stdin:
        command, *args = line.split()
        print(json.dumps(getattr(tree, {'break': 'damage'}.get(command, command))(*args)), flush=True)
        if command == 'close':
            return


main()
