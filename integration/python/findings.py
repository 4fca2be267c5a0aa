"""What Python's tools find in a Data.fs.

    findings.py make DATA    a storage with much that is wrong
    findings.py refs DATA    what fsrefs of ZODB reports: [[from, to], …]
    findings.py loads DATA   records that cannot be unpickled, found as zodbverify does it: [[oid, error], …]
"""
import io
import json
import sys

import persistent.mapping
import transaction
import ZODB.Connection
import ZODB.DB
import ZODB.FileStorage
import ZODB.POSException
import ZODB.scripts.fsrefs
import ZODB.serialize
from ZODB.utils import p64, u64

import site_classes


def hexadecimal(oid):
    return '%016x' % u64(oid)


def make(path):
    storage = ZODB.FileStorage.FileStorage(path)
    db = ZODB.DB(storage)
    conn = db.open()
    root = conn.root()
    for name in ('gone', 'torn', 'classless', 'fine'):
        root[name] = site_classes.Page(name)
    root['holder'] = persistent.mapping.PersistentMapping()
    transaction.commit()
    root['holder']['late'] = late = site_classes.Page('late')
    root['holder']['again'] = root['fine']
    transaction.commit()
    oids = {name: root[name]._p_oid for name in root}
    data = {name: storage.load(oid)[0] for name, oid in oids.items()}
    raw(storage, oids['torn'], data['torn'][:-7])
    raw(storage, oids['classless'], data['classless'].replace(b'Page', b'Lost'))
    # references to objects that never were
    raw(storage, oids['gone'], storage.load(late._p_oid)[0].replace(late._p_oid, p64(0x123456)))
    raw(storage, oids['holder'], storage.load(oids['holder'])[0].replace(oids['fine'], p64(0x654321)))
    db.close()


def raw(storage, oid, data):
    t = ZODB.Connection.TransactionMetaData()
    storage.tpc_begin(t)
    storage.store(oid, storage.load(oid)[1], data, '', t)
    storage.tpc_vote(t)
    storage.tpc_finish(t)


def refs(path):
    found = []
    ZODB.scripts.fsrefs.report = lambda oid, data, serial, missing: found.extend(
        [hexadecimal(oid), hexadecimal(to)] for to, _, _ in missing)
    ZODB.scripts.fsrefs.get_refs = references
    ZODB.scripts.fsrefs.main(path)
    return found


def references(data):
    """What fsrefs looks at. It would end at the first record that cannot be read."""
    try:
        return ZODB.serialize.get_refs(data)
    except Exception:
        return []


def loads(path):
    """zodbverify asks for the records with record_iternext, which ends at the first object that was deleted."""
    storage = ZODB.FileStorage.FileStorage(path, read_only=True)
    found = []
    for oid in storage._index:
        try:
            unpickle(storage.load(oid)[0])
        except ZODB.POSException.POSKeyError:
            pass
        except Exception as e:
            found.append([hexadecimal(oid), type(e).__name__, str(e)])
    return found


def unpickle(data):
    unpickler = ZODB.serialize.PersistentUnpickler(None, lambda ref: None, io.BytesIO(data))
    unpickler.load()
    unpickler.load()


if __name__ == '__main__':
    print(json.dumps({'make': make, 'refs': refs, 'loads': loads}[sys.argv[1]](sys.argv[2])))
