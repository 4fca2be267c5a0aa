"""A class migration gone wrong.

    ghost_class.py make DATA                    documents that were made pages; one of two folders was not written since
    ghost_class.py show ADDRESS CACHE FOLDER    a ZEO client with a cache that stays, which looks into FOLDER first:
                                                the class that it takes the document for
"""
import json
import os
import sys

import persistent.mapping
import transaction
import ZEO.ClientStorage
import ZODB.DB
import ZODB.FileStorage

import site_classes


def make(path):
    db = ZODB.DB(ZODB.FileStorage.FileStorage(path))
    root = db.open().root()
    root['old'] = persistent.mapping.PersistentMapping(document=site_classes.Document('first'))
    root['new'] = persistent.mapping.PersistentMapping()
    transaction.commit()
    document = root['old']['document']
    document.__class__ = site_classes.Page
    document._p_changed = True
    root['new']['document'] = document
    transaction.commit()
    db.close()
    return 'made'


def show(address, cache, folder):
    host, port = address.rsplit(':', 1)
    storage = ZEO.ClientStorage.ClientStorage((host, int(port)), client='c', var=cache, read_only=True, wait_timeout=60)
    db = ZODB.DB(storage)
    connection = db.open()
    root = connection.root()
    document = root[folder]['document']
    document.title  # it is loaded, and stays what it is
    seen = {type(root[name]['document']).__name__ for name in ('old', 'new')}
    connection.close()
    db.close()
    files = [name for name in os.listdir(cache) if name.endswith('.zec')]
    return {'classes': sorted(seen), 'cache': files, 'size': sum(os.path.getsize(os.path.join(cache, f)) for f in files)}


if __name__ == '__main__':
    print(json.dumps({'make': make, 'show': show}[sys.argv[1]](*sys.argv[2:])))
