"""One server of a replication by the real, unmodified zc.zrs.

    zrs_peer.py [--from HOST:PORT] [--to HOST:PORT] [--keep-alive SECONDS] DATA [BLOBS]

Without --from it is a primary and obeys the commands of application.py. With --from it is a secondary, which takes two
commands, and serves further secondaries when --to is given too:

reach TID   waits until the storage has the transaction; answers with the last tid
close       closes the storage and ends

zc.zrs waits a minute before a secondary connects again, and its configuration cannot change that; here it waits a
fifth of a second.
"""
import argparse
import logging
import os
import sys
import time
import warnings

# Twisted and zc.zrs warn about each other's age.
warnings.simplefilter('ignore')

import application  # noqa: E402
import zc.zrs  # noqa: E402
import zc.zrs.reactor  # noqa: E402
import ZODB.FileStorage  # noqa: E402

RECONNECT_DELAY = .2


class Replica:

    def __init__(self, storage):
        self.storage = storage

    def last(self):
        return {'tid': self.storage.lastTransaction().hex()}

    def reach(self, tid):
        while self.storage.lastTransaction() < bytes.fromhex(tid):
            time.sleep(.005)
        return self.last()

    def close(self):
        answer = self.last()
        self.storage.close()
        return answer


def address(text):
    host, port = text.rsplit(':', 1)
    return host, int(port)


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument('--from', dest='upstream', type=address)
    parser.add_argument('--to', type=address)
    parser.add_argument('--keep-alive', type=int, default=0)
    parser.add_argument('data')
    parser.add_argument('blobs', nargs='?')
    return parser.parse_args()


def listening(primary):
    """Waits until a primary listens, which its reactor thread does when it gets to it."""
    while primary._listener is None:
        time.sleep(.005)


def main(opt):
    logging.basicConfig(level=logging.INFO, format='%(asctime)s %(levelname)s %(name)s %(message)s')
    storage = ZODB.FileStorage.FileStorage(opt.data, blob_dir=opt.blobs)
    if opt.to:
        storage = zc.zrs.Primary(storage, opt.to)
        listening(storage)
    if opt.upstream:
        application.obey(Replica(zc.zrs.Secondary(
            storage, opt.upstream, reconnect_delay=RECONNECT_DELAY, keep_alive_delay=opt.keep_alive)))
    else:
        application.obey(application.Application(storage, opt.blobs is not None))
    zc.zrs.reactor.shutdown()


main(options())
sys.stdout.flush()
os._exit(0)  # the threads of connections that are still open would keep the process
