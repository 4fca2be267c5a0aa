"""Compares a storage between moments with the real ZODB and prints what it found as JSON: for each pair of neighbouring
transactions, and from each one to the last, a list of [oid, change, why]; a list of these for each storage.

    moments.py DATA...
"""
import json
import sys

from ZODB.FileStorage import FileStorage
from ZODB.POSException import POSKeyError
from ZODB.serialize import referencesf
from ZODB.utils import p64, u64

ROOT = p64(0)


def state(storage, oids, tid):
    """The data of all objects after the transaction, and which of them the root leads to."""
    data = {}
    for oid in oids:
        try:
            found = storage.loadBefore(oid, p64(u64(tid) + 1))
        except POSKeyError:
            continue
        if found:
            data[oid] = found[0]
    reached, todo = set(), [ROOT]
    while todo:
        oid = todo.pop()
        if oid in reached or oid not in data:
            continue
        reached.add(oid)
        try:
            todo.extend(referencesf(data[oid]))
        except Exception:  # no pickle: fixtures have any bytes
            pass
    return data, reached


def change(oid, before, after):
    (old, was), (new, now) = before, after
    if oid not in old:
        return ("created", "new") if oid in new else None
    if oid not in new:
        return "deleted", "empty-record"
    if (oid in was) != (oid in now):
        return ("deleted", "unreachable") if oid in was else ("created", "reachable")
    return ("changed", "written") if old[oid] != new[oid] else None


def main(path):
    storage = FileStorage(path, read_only=True)
    tids, oids = [], set()
    for transaction in storage.iterator():
        tids.append(transaction.tid)
        oids.update(record.oid for record in transaction)
    states = [state(storage, oids, tid) for tid in tids]
    answer = []
    for i, tid in enumerate(tids):
        for j in {i + 1, len(tids) - 1} - {i, len(tids)}:
            found = [(oid.hex(),) + change(oid, states[i], states[j]) for oid in sorted(oids)
                     if change(oid, states[i], states[j])]
            answer.append({"from": tid.hex(), "to": tids[j].hex(), "changes": found})
    storage.close()
    return answer


print(json.dumps([main(path) for path in sys.argv[1:]]))
