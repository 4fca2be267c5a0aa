"""One side of a zc.zrs pair, to measure beside zrsd.

    zrs_pair.py primary DATA HOST:PORT            prints a line when it listens, then serves until it is killed
    zrs_pair.py secondary DATA HOST:PORT LASTTID  prints {"Seconds": ...} when it has everything
"""
import json
import sys
import time

import zc.zrs
import ZODB.FileStorage


def address(text):
    host, port = text.rsplit(':', 1)
    return host, int(port)


def primary(data, addr):
    storage = zc.zrs.Primary(ZODB.FileStorage.FileStorage(data), address(addr))
    print('listening', flush=True)
    while storage is not None:
        time.sleep(60)


def secondary(data, addr, last):
    begin = time.time()
    storage = zc.zrs.Secondary(ZODB.FileStorage.FileStorage(data), address(addr))
    while storage.lastTransaction() < bytes.fromhex(last):
        time.sleep(.005)
    print(json.dumps({'Seconds': time.time() - begin}), flush=True)
    storage.close()


globals()[sys.argv[1]](*sys.argv[2:])
