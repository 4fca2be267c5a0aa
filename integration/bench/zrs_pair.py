"""One side of a zc.zrs pair, to measure beside zrsd.

    zrs_pair.py primary DATA BLOBS HOST:PORT            prints a line when it serves, which it does until it is killed
    zrs_pair.py secondary DATA BLOBS HOST:PORT LASTTID  prints {"Seconds": ...} when it has everything

BLOBS may be empty text: none. Interpreter start and imports do not count.
"""
import json
import sys
import time

import zc.zrs
import ZODB.FileStorage


def address(text):
    host, port = text.rsplit(':', 1)
    return host, int(port)


def opened(data, blobs):
    return ZODB.FileStorage.FileStorage(data, blob_dir=blobs or None)


def primary(data, blobs, addr):
    storage = zc.zrs.Primary(opened(data, blobs), address(addr))
    while storage._listener is None:  # its thread has not come to it yet
        time.sleep(.005)
    print('listening', flush=True)
    while storage is not None:
        time.sleep(60)


def secondary(data, blobs, addr, last):
    begin = time.time()
    storage = zc.zrs.Secondary(opened(data, blobs), address(addr))
    while storage.lastTransaction() < bytes.fromhex(last):
        time.sleep(.005)
    print(json.dumps({'Seconds': time.time() - begin}), flush=True)
    storage.close()


globals()[sys.argv[1]](*sys.argv[2:])
