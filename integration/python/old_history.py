"""Writes a Data.fs with real ZODB as it would be if it had been written a month ago, and prints its size.

    old_history.py DATA REVISIONS
"""
import json
import os
import sys
import time

begun = time.time() - 30 * 86400
ticks = iter(range(1 << 30))
time.time = lambda: begun + next(ticks) / 100

import transaction  # noqa: E402
import ZODB.DB  # noqa: E402
import ZODB.FileStorage  # noqa: E402


def main(data, revisions):
    db = ZODB.DB(ZODB.FileStorage.FileStorage(data))
    root = db.open().root()
    for i in range(int(revisions)):
        root['old'] = 'x' * 1000 + str(i)
        transaction.commit()
    db.close()
    print(json.dumps(os.path.getsize(data)))


main(*sys.argv[1:])
