"""Read every transaction of a storage with the real ZODB, and print what is there as JSON: its path, its blob folder."""
import json
import sys

import ZODB.blob
import ZODB.FileStorage

data, blobs = sys.argv[1:]
storage = ZODB.FileStorage.FileStorage(data, read_only=True, blob_dir=blobs)
found = {"transactions": 0, "records": 0, "blobs": 0}
for transaction in storage.iterator():
    found["transactions"] += 1
    found["last_tid"] = transaction.tid.hex()
    for record in transaction:
        found["records"] += 1
        if record.data is not None and ZODB.blob.is_blob_record(record.data):
            with open(storage.loadBlob(record.oid, record.tid), "rb") as blob:
                blob.read()
            found["blobs"] += 1
        elif record.data is not None:
            assert storage.loadSerial(record.oid, record.tid) == record.data
storage.close()
print(json.dumps(found))
