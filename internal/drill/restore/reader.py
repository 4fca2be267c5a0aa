"""A ZEO client that reads the objects named on standard input, and prints how many."""
import sys

from ZEO.ClientStorage import ClientStorage

storage = ClientStorage(sys.argv[1], read_only=True, wait_timeout=60)
last = storage.lastTransaction().hex()
if last != sys.argv[2]:
    sys.exit("its last transaction is %s" % last)
count = 0
for line in sys.stdin:
    oid, tid = line.split()
    _, serial = storage.load(bytes.fromhex(oid))[:2]
    if serial.hex() != tid:
        sys.exit("oid %s is of transaction %s, want %s" % (oid, serial.hex(), tid))
    count += 1
storage.close()
print(count)
