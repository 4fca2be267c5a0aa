"""A real ZEO client with a label that obeys the commands of application.py, and some of its own.

    labelled_client.py LABEL CACHE ADDRESS

remember    read everything, and keep it in mind
reread      forget all caches, read everything from the server, and compare
size N      wait until the server has told that the storage has N bytes
"""
import sys
import time

import application
import ZEO
import ZODB.blob


class Client(application.Application):

    def everything(self):
        self.connection.sync()
        return {key: self.read(value) for key, value in self.objects.items()}

    def read(self, value):
        if isinstance(value, ZODB.blob.Blob):
            with value.open() as f:
                return f.read()
        return value['content']

    def remember(self):
        self.seen = self.everything()
        return self.last()

    def reread(self):
        self.storage._cache.clear()
        self.connection.cacheMinimize()
        if self.everything() != self.seen:
            return {'error': 'it reads something else than before'}
        return self.last()

    def size(self, want):
        while self.storage.getSize() != int(want):
            time.sleep(.01)
        return self.last()


def main(label, cache, address):
    host, port = address.rsplit(':', 1)
    storage = ZEO.client((host, int(port)), blob_dir=cache, shared_blob_dir=False, wait_timeout=60, client_label=label)
    application.obey(Client(storage, True))


main(*sys.argv[1:])
