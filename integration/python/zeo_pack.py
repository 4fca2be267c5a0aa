"""A real ZEO client that packs, and obeys the commands of application.py.

    zeo_pack.py ADDRESS

pack TIME   pack to TIME, in seconds since 1970; that the server is killed meanwhile is no error
"""
import sys

import application
import ZEO.ClientStorage
import ZEO.Exceptions


class Packer:

    def __init__(self, address):
        host, port = address.rsplit(':', 1)
        self.storage = ZEO.ClientStorage.ClientStorage((host, int(port)), wait_timeout=120)

    def last(self):
        return {'tid': self.storage.lastTransaction().hex()}

    def pack(self, time):
        try:
            self.storage.pack(float(time))
        except ZEO.Exceptions.ClientDisconnected:
            pass
        return self.last()

    def close(self):
        answer = self.last()
        self.storage.close()
        return answer


application.obey(Packer(sys.argv[1]))
