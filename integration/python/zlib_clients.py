"""Uses a ZEO server with <zlibstorage> as clients with and without zc.zlibstorage do, and prints what they see as JSON.

    zlib_clients.py ADDRESS DATA SCRATCH

Two servers that do the same print the same: tids and the lengths of compressed records are left out. DATA is the
server's Data.fs, read at the end as it is; SCRATCH a folder for blobs of the clients.
"""
import json
import sys
import tempfile
import zlib

import BTrees.OOBTree
import persistent.mapping
import transaction
import zc.zlibstorage
import ZEO.ClientStorage
import ZODB
import ZODB.blob
import ZODB.Connection
import ZODB.FileStorage
import ZODB.POSException
import ZODB.utils

LONG = b'a long record that becomes shorter, ' * 200
NOISE = bytes((i * i * 7919 + i // 3) % 251 for i in range(40))  # becomes no shorter


def client(address):
    return ZEO.ClientStorage.ClientStorage(address, wait_timeout=30, blob_dir=tempfile.mkdtemp(dir=scratch))


def commit(storage, change):
    meta = ZODB.Connection.TransactionMetaData(b'', b'')
    storage.tpc_begin(meta)
    try:
        change(meta)
        storage.tpc_vote(meta)
    except BaseException:
        storage.tpc_abort(meta)
        raise
    return storage.tpc_finish(meta)


def records(address):
    """Single calls with records of all kinds."""
    storage, saw = client(address), {}
    packed = b'.z' + zlib.compress(LONG + b'by a client')
    for name, record in ('long', LONG), ('noise', NOISE), ('short', b'N.'), ('packed', packed), ('huge', LONG * 400):
        oid = storage.new_oid()
        first = commit(storage, lambda meta: storage.store(oid, ZODB.utils.z64, record, '', meta))
        second = commit(storage, lambda meta: storage.store(oid, first, record + b'2', '', meta))
        storage._cache.clear()
        seen = [storage.loadBefore(oid, second)[0], ZODB.utils.load_current(storage, oid)[0]]
        storage._cache.clear()
        seen.append(storage.loadSerial(oid, first))
        seen.append(storage.loadSerial(oid, second))
        saw[name] = [digest(data) for data in seen]
        if name == 'long':  # on the revision before the last
            def conflicting(meta):
                storage.store(oid, first, record + b'3', '', meta)
                answer = storage._call('vote', id(meta))
                saw['conflict'] = [[digest(c['data']), c['serials'] == (second, first)] for c in answer]
                raise ZODB.POSException.ConflictError
            try:
                commit(storage, conflicting)
            except ZODB.POSException.ConflictError:
                pass
    oid = storage.new_oid()
    restored = ZODB.utils.newTid(storage.lastTransaction())
    meta = ZODB.Connection.TransactionMetaData(b'', b'')
    storage.tpc_begin(meta, restored, ' ')
    storage.restorea(oid, restored, LONG + b'restored', None, meta) if hasattr(storage, 'restorea') else \
        storage.restore(oid, restored, LONG + b'restored', '', None, meta)
    storage.tpc_vote(meta)
    storage.tpc_finish(meta)
    storage._cache.clear()
    saw['restored'] = digest(ZODB.utils.load_current(storage, oid)[0])
    storage.close()
    return saw


def digest(data):
    if data is None:
        return None
    return [len(data), zlib.crc32(data), data[:2] == b'.z']


def database(storage):
    """Through connections: conflicts, undo, blobs, pack."""
    saw, db = {}, ZODB.DB(storage)
    conn = db.open()
    root = conn.root()
    root['tree'], root['map'] = BTrees.OOBTree.OOBTree(), persistent.mapping.PersistentMapping()
    root['map']['text'] = 'text ' * 1000
    root['blob'] = ZODB.blob.Blob(b'content of a blob')
    transaction.commit()
    other = transaction.TransactionManager()
    conn2 = db.open(other)
    root['tree'][1], conn2.root()['tree'][2] = 'one ' * 100, 'two ' * 100
    transaction.commit()
    other.commit()
    conn.sync()
    saw['merged'] = sorted(root['tree'].keys())
    root['map']['x'], conn2.root()['map']['x'] = 1, 2
    transaction.commit()
    try:
        other.commit()
        saw['refused'] = False
    except ZODB.POSException.ConflictError:
        other.abort()
        saw['refused'] = True
    db.undo(db.undoLog(0, 1)[0]['id'])
    transaction.commit()
    conn.sync()
    saw['undone'] = 'x' not in root['map']
    saw['text'] = root['map']['text'] == 'text ' * 1000
    conn.cacheMinimize()
    with root['blob'].open() as f:
        saw['blob'] = f.read().decode()
    db.pack()
    conn.cacheMinimize()
    storage._cache.clear() if hasattr(storage, '_cache') else None
    saw['after pack'] = [sorted(root['tree'].keys()), len(root['map']['text'])]
    for c in conn, conn2:
        c.close()
    db.close()
    return saw


def everything(storage):
    """All records in the order of the file, and all current ones in the order of their oids."""
    history = [[rec.oid.hex(), digest(rec.data)] for txn in storage.iterator() for rec in txn]
    current, at = [], None
    while True:
        oid, _, data, at = storage.record_iternext(at)
        current.append([oid.hex(), digest(data)])
        if at is None:
            break
    storage.close()
    return history, current


def main():
    global scratch
    address, path, scratch = sys.argv[1:]
    saw = {'records': records(address), 'after them': [everything(client(address)), as_it_is(path)]}
    saw['database'] = database(client(address))
    saw['after that'] = [everything(client(address)), as_it_is(path)]
    saw['compressing client'] = everything(zc.zlibstorage.ZlibStorage(client(address)))
    saw['compressing client, database'] = database(zc.zlibstorage.ZlibStorage(client(address)))
    saw['in the end'] = as_it_is(path)
    json.dump(saw, sys.stdout)


def as_it_is(path):
    """Which records of the file are compressed, and what is in them."""
    storage = ZODB.FileStorage.FileStorage(path, read_only=True)
    inside = [(rec.oid.hex(), rec.data) for txn in storage.iterator() for rec in txn]
    storage.close()
    return [[oid, data[:2] == b'.z', digest(zlib.decompress(data[2:]) if data[:2] == b'.z' else data)]
            for oid, data in inside]


main()
