"""Starts a server as zrsd serve does, with a blob directory that is a cache of 4,000 bytes and an object store beside it.

    cached.py ZRSD -C zeo.conf
"""
import os
import re
import sys

zrsd, _, path = sys.argv[1:]
with open(path) as f:
    conf = f.read()


def replicated(match):
    store = path + '.store'
    os.makedirs(store, exist_ok=True)
    return '''<zrs>
replicate-to 127.0.0.1:0
blob-cache-size 4000
blobs-store file://%s
%s
</zrs>''' % (store, match.group(0))


with open(path, 'w') as f:
    f.write(re.sub(r'(?s)<blobstorage.*</blobstorage>', replicated, conf))
os.execv(zrsd, [zrsd, 'serve', '-C', path])
