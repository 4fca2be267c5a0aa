"""A real ZEO client that obeys the commands of application.py.

    zeo_client.py CACHE ADDRESS...

The addresses are HOST:PORT; it takes the server among them that lets it write. Blobs go through a cache of its own in
the folder CACHE.
"""
import sys

import application
import ZEO


def address(text):
    host, port = text.rsplit(':', 1)
    return host, int(port)


def main(cache, *addresses):
    storage = ZEO.client([address(a) for a in addresses], blob_dir=cache, shared_blob_dir=False, wait_timeout=60)
    application.obey(application.Application(storage, True))


main(*sys.argv[1:])
