"""Prints pickles of many values, one JSON object a line, as real picklers write them.

    vectors.py SEED NUMBER

proto1, proto2 and proto3: dumps(value, n). fast1 and fast3: a Pickler with fast set. Values are made anew by loading, so
that nothing in them is shared but what Python has only one of.
"""
import io
import json
import pickle
import random
import sys


def fast(value, proto):
    f = io.BytesIO()
    p = pickle.Pickler(f, proto)
    p.fast = True
    p.dump(value)
    return f.getvalue()


FIXED = [
    None, True, False, 0, 1, 255, 256, 65535, 65536, -1, -128, -129, 2**31 - 1, 2**31, -2**31, -2**31 - 1, 2**63 - 1,
    2**63, -2**63, -2**63 - 1, 2**64, 2**70, -2**70, 2**2000, -2**2039, 0.0, -0.0, 1.5, float('inf'), -1e300,
    '', 'a', 'ab', 'ä', 'äöü' * 50, '\u20ac', '\U0001f600', 'x' * 300, '\ud800', b'', b'a', b'ab', b'\xff' * 8,
    bytes(range(256)), b'\x00' * 300, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((),), [], [1], [1, 2], list(range(1001)),
    {}, {'a': 1}, {'a': 1, 'b': 2}, {i: str(i) for i in range(1001)}, {'user': b'\xe4', 'n': [(), [], {}]},
    ('T', (b'\x03\xe8' + b'\0' * 6, ' ', b'user', b'', {})),
    ('S', (b'\0' * 8, b'\x03\xe8' + b'\0' * 6, '', None)), ('C', (b'\xd4' * 16,)),
    {'a': 'a', 'b': 'a', 'c': b'z', 'd': (b'z', '', '', b'', b'')},
]


def anything(rng, depth):
    kind = rng.randrange(12 if depth else 8)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.randrange(-300, 300)
    if kind == 2:
        return rng.getrandbits(rng.randrange(1, 100)) * rng.choice([1, -1])
    if kind == 3:
        return rng.random() * 10 ** rng.randrange(-20, 20)
    if kind in (4, 5):
        return ''.join(chr(rng.choice([rng.randrange(32, 127), rng.randrange(160, 256), rng.randrange(0x3b1, 0x3c9),
                                       0x1f600])) for _ in range(rng.randrange(0, 12)))
    if kind in (6, 7):
        return rng.randbytes(rng.choice([0, 1, 2, 8, 16, 300]))
    n = rng.randrange(0, 6)
    if kind == 8:
        return tuple(anything(rng, depth - 1) for _ in range(n))
    if kind == 9:
        return [anything(rng, depth - 1) for _ in range(n)]
    return {rng.choice([str, int, float])(i): anything(rng, depth - 1) for i in range(n)}


def show(value):
    value = pickle.loads(fast(value, 3))
    line = {'repr': ascii(value)[:100]}
    for n in 1, 2, 3:
        line['proto%d' % n] = pickle.dumps(value, n).hex()
    for n in 1, 3:
        line['fast%d' % n] = fast(value, n).hex()
    print(json.dumps(line))


def main():
    rng = random.Random(int(sys.argv[1]))
    for value in FIXED:
        show(value)
    for _ in range(int(sys.argv[2])):
        show(anything(rng, 4))


main()
