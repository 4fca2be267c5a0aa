import sys, os, shutil, base64
from ZODB.FileStorage import FileStorage
from ZODB.Connection import TransactionMetaData
from ZODB.TimeStamp import TimeStamp
from ZODB.utils import p64, z64
d = sys.argv[1]; shutil.rmtree(d, ignore_errors=True); os.makedirs(d)
def at(minute): return TimeStamp(2024, 5, 6, 8 + minute // 60, minute % 60, 0.0).raw()
REC = b'\x80\x03cpersistent.mapping\nPersistentMapping\nq\x00.\x80\x03}q\x01X\x04\x00\x00\x00dataq\x02}q\x03X\x01\x00\x00\x00kq\x04X\x01\x00\x00\x00%sq\x05ss.'
fs = FileStorage(d + '/Data.fs')
serial = {}
def txn(minute, what, undo=None):
    t = TransactionMetaData(b'/ user', what.encode(), {'n': minute}); tid = at(minute)
    fs.tpc_begin(t, tid)
    if undo is not None:
        _, oids = fs.undo(base64.b64encode(at(undo)), t)
        for o in oids: serial[o] = tid
    else:
        for c in what:
            o = p64('abcdefgh'.index(c)); fs.store(o, serial.get(o, z64), REC % chr(65 + minute % 26).encode(), '', t); serial[o] = tid
    fs.tpc_vote(t); fs.tpc_finish(t)
txn(10, 'abc')
txn(40, 'bd')        # the clock was ahead
txn(20, 'b')         # and was set right
txn(41, 'ce')        # ahead again
txn(21, 'undo of 41', undo=41)
txn(22, 'a')
txn(23, 'undo of 20', undo=20)
txn(30, 'f')
txn(25, 'g')         # the last one is below its predecessor
fs.close()
os.remove(d+'/Data.fs.lock'); os.remove(d+'/Data.fs.tmp')
