"""Two ZEO clients with private blobs that share one cache directory, as a site has them by mistake.

    blob_cache.py ADDRESS CACHE

The first one commits blobs, the second one reads all of them and replaces one, and both leave what they have in the
cache. Prints the number of revisions of blobs that were committed.
"""
import sys

import transaction
import ZEO
import ZODB.blob

address, cache = sys.argv[1:]
COUNT = 12


def content(n, again=b''):
    return b'blob %d ' % n * (n * 1000 + 1) + again


def client():
    return ZEO.DB(address, blob_dir=cache, shared_blob_dir=False, wait_timeout=30)


writer = client()
connection = writer.open()
for n in range(COUNT):
    connection.root()['blob%d' % n] = ZODB.blob.Blob(content(n))
    transaction.get().note('blob %d' % n)
    transaction.commit()
writer.close()

reader = client()
connection = reader.open()
for n in range(COUNT):
    with connection.root()['blob%d' % n].open() as f:
        assert f.read() == content(n), n
with connection.root()['blob3'].open('w') as f:
    f.write(content(3, b'again'))
transaction.commit()
reader.close()
print(COUNT + 1)
