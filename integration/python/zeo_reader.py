"""A real ZEO client that looks at what application.py writes, and obeys one command per line as that does.

    zeo_reader.py reader|fallback CACHE ADDRESS...

A reader asks to read only. With fallback it takes a server that lets it write, or else one that lets it read. Blobs go
through a cache of its own in the folder CACHE. Each answer has the last tid that the client knows of.

see HEX     wait until the connection is at that transaction, and load every object as it is there
commit      change the root
refused     try to, and expect that it must not
writable    wait until the server lets the client write
readable    wait until the server only lets it read
last        nothing but the answer
close       close the storage and end
"""
import sys
import time

import application
import transaction
import ZEO.ClientStorage
import ZODB.blob
import ZODB.DB
import ZODB.POSException


def address(text):
    host, port = text.rsplit(':', 1)
    return host, int(port)


def until(condition):
    """Waits for as long as the process is left alive, and returns what the condition is then. A server that is away
    counts as not yet; so does one that the client leaves because another one lets it write."""
    while True:
        try:
            answer = condition()
            if answer:
                return answer
        except ZODB.POSException.StorageError:
            pass
        time.sleep(.02)


class Reader:

    def __init__(self, storage):
        self.storage = storage
        self.db = until(lambda: ZODB.DB(storage))
        self.connection = self.db.open()

    def last(self):
        return {'tid': self.storage.lastTransaction().hex()}

    def see(self, tid):
        def there():
            transaction.begin()
            return self.storage.lastTransaction().hex() >= tid and self.load()
        until(there)
        return self.last()

    def load(self):
        for value in self.connection.root()['python'].values():
            if isinstance(value, ZODB.blob.Blob):
                with value.open() as f:
                    f.read()
            else:
                value.keys()
        return True

    def change(self):
        transaction.begin()
        try:
            self.connection.root()['by the reader'] = time.time()
            transaction.commit()
        finally:
            transaction.abort()

    def commit(self):
        self.change()
        return self.last()

    def refused(self):
        try:
            self.change()
        except ZODB.POSException.ReadOnlyError:
            return self.last()
        raise AssertionError('it could write')

    def writable(self):
        until(lambda: self.storage.is_connected() and not self.storage.isReadOnly())
        return self.last()

    def readable(self):
        until(lambda: self.storage.is_connected() and self.storage.isReadOnly())
        return self.last()

    def close(self):
        answer = self.last()
        self.db.close()
        return answer


def main(mode, cache, *addresses):
    application.obey(Reader(ZEO.ClientStorage.ClientStorage(
        [address(a) for a in addresses], blob_dir=cache, shared_blob_dir=False, wait_timeout=60,
        read_only=mode == 'reader', read_only_fallback=mode == 'fallback')))


main(*sys.argv[1:])
