"""Prints conflicts of BTrees and counters, and what ZODB makes of each, one JSON object a line.

    conflicts.py SEED NUMBER

old, committed, sent: the three records in hexadecimal. merged: the one that ZODB's conflict resolution returns, or null.
plain: nothing in them needs a class of its own to be compared.
"""
import datetime
import importlib
import io
import json
import logging
import pkgutil
import random
import re
import sys

import BTrees
import BTrees.Length
import ZODB.ConflictResolution
from persistent import Persistent
from ZODB._compat import PersistentPickler
from ZODB.POSException import ConflictError

logging.disable(logging.CRITICAL)  # failures are what is asked for

FAMILIES = sorted(m.name[1:3] for m in pkgutil.iter_modules(BTrees.__path__) if re.fullmatch('_..BTree', m.name))
RANGES = {'I': (-2**31, 2**31 - 1), 'U': (0, 2**32 - 1), 'L': (-2**63, 2**63 - 1), 'Q': (0, 2**64 - 1)}


class Reference:
    """Stands for another persistent object."""

    def __init__(self, id):
        self.id = id


class Storage(ZODB.ConflictResolution.ConflictResolvingStorage):

    def __init__(self, records):
        self.records = records

    def loadSerial(self, oid, serial):
        return self.records[serial]


def persistent_id(obj):
    if isinstance(obj, Reference):
        return obj.id
    if isinstance(obj, Persistent):  # a bucket within a tree
        return b'bucket%02d' % (id(obj) % 100), type(obj)
    return None


def record(cls, state):
    f = io.BytesIO()
    pickler = PersistentPickler(persistent_id, f, 3)
    pickler.dump(cls)
    pickler.dump(state)
    return f.getvalue()


def resolve(old, committed, sent):
    storage = Storage({'old': old, 'committed': committed})
    try:
        return storage.tryToResolveConflict(b'\0' * 8, 'committed', 'old', sent)
    except ConflictError:
        return None


def keys(rng, letter, family):
    """Returns a function that makes keys."""
    if family == 'fs':
        return lambda: b'\0%c' % rng.randrange(40)
    if letter != 'O':
        low, high = RANGES[letter]
        return lambda: rng.choice([rng.randrange(40)] * 9 + [low, high])
    return rng.choice([
        lambda: 'key%02d' % rng.randrange(40), lambda: chr(rng.choice([97, 228, 0x20ac, 0x1f600]) + rng.randrange(10)),
        lambda: rng.randrange(-20, 20), lambda: rng.choice([None, 2**70, rng.randrange(30)]),
        lambda: b'%c\xff' % rng.randrange(40), lambda: rng.randrange(40) / 4,
        lambda: ('a' * rng.randrange(4), rng.randrange(8)), lambda: tuple(range(rng.randrange(9))),
    ])


PLAIN = [
    lambda rng: rng.randrange(3), lambda rng: rng.choice('abc'), lambda rng: rng.choice([(1, 'a'), (1, 'b'), (2,), ()]),
    lambda rng: rng.choice([b'a', b'', b'\xe4']), lambda rng: None, lambda rng: rng.choice([1.5, -0.0, 0.0, 2.5]),
    lambda rng: rng.choice([True, False, 1]), lambda rng: [rng.randrange(2), None],
    lambda rng: ('shared', None, 'x' * rng.randrange(2)),
]
EXOTIC = [
    lambda rng: {'a': rng.randrange(2)}, lambda rng: datetime.datetime(2024, 1, 1 + rng.randrange(2)),
    lambda rng: Reference((b'object%02d' % rng.randrange(2), Persistent)), lambda rng: Reference(b'object%02d' % rng.randrange(2)),
    lambda rng: Reference(['w', (b'object%02d' % rng.randrange(2),)]), lambda rng: rng.choice([1, 'a', None, 1.0]),
    lambda rng: Reference(['m', ('other', b'object01', Persistent)]), lambda rng: float('nan'), lambda rng: frozenset([1]),
]


def values(rng, letter, family, plain):
    if family == 'fs':
        return lambda: b'12345%c' % rng.randrange(3)
    if letter == 'F':
        return lambda: rng.choice([0.5, 1.25, -3.0, 1e30])
    if letter != 'O':
        low, high = RANGES[letter]
        return lambda: rng.choice([1, 2, low, high])
    kind = rng.choice(PLAIN if plain else EXOTIC)
    return lambda: kind(rng)


def change(rng, before, key, value):
    """Returns what a transaction made of a dictionary."""
    after = dict(before)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3, 6])):
        what = rng.randrange(4)
        if what < 2 or not after:
            after[key()] = value()
        elif what == 2:
            after[rng.choice(list(after))] = value()
        else:
            del after[rng.choice(list(after))]
    return after


def state(rng, cls, content, next):
    obj = cls()
    for k, v in content.items():
        obj[k] = v
    s = obj.__getstate__()
    if next is not None and s is not None and 'Tree' not in cls.__name__:
        s = s[:1] + (next,)
    return s


def set_state(rng, cls, content, next):
    obj = cls(content)
    s = obj.__getstate__()
    if next is not None and s is not None and 'Tree' not in cls.__name__:
        s = s[:1] + (next,)
    return s


def bucket_conflict(rng, plain):
    family = rng.choice(FAMILIES)
    module = importlib.import_module(f'BTrees.{family}BTree')
    suffix = rng.choice(['Bucket', 'Bucket', 'BTree', 'Set', 'TreeSet'])
    cls = getattr(module, family + suffix)
    make = set_state if suffix.endswith('Set') else state
    key, value = keys(rng, family[0], family), values(rng, family[1], family, plain)
    size = rng.choice([0, 1, 2, 5, 10, 20, 200 if suffix.startswith('Tree') else 20])
    before = {key(): value() for _ in range(size)}
    contents = [before, change(rng, before, key, value), change(rng, before, key, value)]
    next = None
    if rng.randrange(2):
        next = Reference((b'bucket%02d' % rng.randrange(2), cls))
    nexts = [next] * 3
    if rng.randrange(12) == 0:
        nexts[rng.randrange(3)] = Reference((b'another!', cls))
    return [record(cls, make(rng, cls, c, n)) for c, n in zip(contents, nexts)]


def counter_conflict(rng, plain):
    steps = [0, 1, -1, 5, 2**31, 2**63, -2**64] + ([] if plain else [0.5, True, None])
    return [record(BTrees.Length.Length, rng.choice(steps)) for _ in range(3)]


def main(seed, number):
    rng = random.Random(seed)
    for i in range(int(number)):
        plain = i % 3 > 0
        make = counter_conflict if i % 10 == 0 else bucket_conflict
        old, committed, sent = make(rng, plain)
        merged = resolve(old, committed, sent)
        print(json.dumps({
            'plain': plain, 'old': old.hex(), 'committed': committed.hex(), 'sent': sent.hex(),
            'merged': None if merged is None else merged.hex(),
        }))


main(*sys.argv[1:])
