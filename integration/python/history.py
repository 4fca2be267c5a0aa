"""Print the chain of digests of a Data.fs, computed by ZODB: base, last tid, count and value.

Usage: history.py Data.fs
The definition is in docs/native-protocol.md. FileStorage's own iterator leaves out transactions of status "u", as the
chain does.
"""
import hashlib
import struct
import sys

from ZODB.FileStorage import FileStorage


def digest(txn):
    extension = txn.extension_bytes
    h = hashlib.sha256(txn.tid + struct.pack(
        ">HHH", len(txn.user), len(txn.description), len(extension)))
    h.update(txn.user + txn.description + extension)
    for record in txn:
        data = record.data
        h.update(record.oid + record.tid + struct.pack(">q", -1 if data is None else len(data)))
        h.update(data or b"")
    return h.digest()


def chain(storage):
    base, based, count, value = bytes(8), True, 0, bytes(32)
    last = base
    for txn in storage.iterator():
        last = txn.tid
        if txn.status == "p":
            based = False
        elif not based:
            base, based, count, value = txn.tid, True, 0, bytes(32)
        else:
            count += 1
            value = hashlib.sha256(value + txn.tid + digest(txn)).digest()
    return base, last, count, value


storage = FileStorage(sys.argv[1], read_only=True)
base, last, count, value = chain(storage)
print(base.hex(), last.hex(), count, value.hex())
storage.close()
