"""Prints what the objects of zeo_history.py are in the end: the keys of the tree and the counter, as JSON.

    zeo_history_end.py DATA BLOBS
"""
import json
import sys

import ZODB.DB
import ZODB.FileStorage


def main(data, blobs):
    db = ZODB.DB(ZODB.FileStorage.FileStorage(data, read_only=True, blob_dir=blobs))
    root = db.open().root()
    root['tree']._check()
    print(json.dumps({'keys': list(root['tree']), 'counter': root['counter']()}))


main(*sys.argv[1:])
