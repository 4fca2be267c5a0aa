"""Makes a database with everything that an export has a rule for, and compares exports of it with the living objects.

    export_rows.py make DATA                    prints the tid up to which the comparison is
    export_rows.py check DATA TID SQLITE        reads the database with sqlite3 and prints what differs, as JSON
"""
import datetime
import json
import sqlite3
import sys
import types

import transaction
import ZODB.FileStorage
from BTrees.OOBTree import OOBTree, OOTreeSet
from persistent import Persistent
from persistent.list import PersistentList
from persistent.mapping import PersistentMapping
from ZODB.utils import p64, u64

HOSTILE = 'a"b; DROP TABLE x; --\n\u00e9' + 'x' * 300


class Page(Persistent):
    """As a page of Plone: of a module that is made up."""


class Text:
    """As a RichTextValue: an object inside of the record of another."""


for cls in Page, Text:
    cls.__module__ = 'site.content'
    cls.__qualname__ = cls.__name__
sys.modules['site.content'] = types.ModuleType('site.content')
sys.modules['site.content'].Page, sys.modules['site.content'].Text = Page, Text
WHEN = datetime.datetime(2024, 5, 6, 8, 30, 15, 250000)
EAST = datetime.timezone(datetime.timedelta(hours=2))


def page(n):
    p = Page()
    p.title = 'Page \u2013 %d' % n
    p.position = n
    p.score = n if n % 2 else n / 4
    p.mixed = [n, 'text', None, 2.5][n % 4]
    p.public = n % 3 == 0
    p.large = 2 ** 70 + n
    p.created = WHEN + datetime.timedelta(days=n)
    p.effective = p.created.replace(tzinfo=EAST)
    p.subjects = ('news', 'n%d' % n)
    p.raw = bytes([n % 256, 0, 255])
    p.text = Text()
    p.text.raw = '<p>%d</p>' % n
    p.oid = 'not the oid'
    p.Title = 'upper case %d' % n
    setattr(p, HOSTILE, n)
    return p


def make(path):
    db = ZODB.DB(ZODB.FileStorage.FileStorage(path))
    root = db.open().root()
    root['tree'], root['set'] = OOBTree(), OOTreeSet(['k%d' % n for n in range(300)])
    root['mapping'], root['list'] = PersistentMapping({'a': 1, 'b': 'two'}), PersistentList([1, 'x'])
    for n in range(300):
        root['tree']['page-%03d' % n] = p = page(n)
        p.parent = root['mapping']
    root['gone'] = page(1000)
    transaction.commit()
    del root['gone']
    transaction.commit()
    print(json.dumps(db.lastTransaction().hex()))
    root['tree']['page-000'].title = 'later'
    root['tree']['later'] = page(2000)
    transaction.commit()
    db.close()


class Check:

    def __init__(self, path, tid, exported):
        self.db = ZODB.DB(ZODB.FileStorage.FileStorage(path, read_only=True))
        self.root = self.db.open(before=p64(u64(bytes.fromhex(tid)) + 1)).root()
        self.sql = sqlite3.connect(exported)
        self.sql.row_factory = sqlite3.Row
        self.wrong = []

    def same(self, what, want, got):
        if want != got:
            self.wrong.append('%s: want %.200r, got %.200r' % (what, want, got))

    def rows(self, table):
        return self.sql.execute('SELECT * FROM "%s"' % table).fetchall()

    def pages(self):
        rows = {row['oid']: row for row in self.rows('site.content.Page')}
        pages = list(self.root['tree'].values())
        self.same('pages', sorted(p._p_oid.hex() for p in pages), sorted(rows))
        for p in pages:
            row = rows[p._p_oid.hex()]
            p._p_activate()
            for name, want in {
                'tid': p._p_serial.hex(), 'title': p.title, 'position': p.position, 'score': float(p.score),
                'public': int(p.public), 'large': {'@int': str(p.large)}, 'created': p.created, 'mixed': p.mixed,
                'effective': p.effective.astimezone(datetime.timezone.utc).replace(tzinfo=None), 'raw': p.raw,
                'subjects': {'@tuple': list(p.subjects)}, 'text.class': 'site.content.Text', 'text.raw': p.text.raw,
                'oid_2': p.oid, 'Title_2': p.Title, 'parent.oid': p.parent._p_oid.hex(),
                'parent.class': 'persistent.mapping.PersistentMapping',
                'path': '/tree/' + next(k for k, v in self.root['tree'].items() if v is p),
            }.items():
                got = row[name]
                if name in ('large', 'mixed', 'subjects'):
                    got = got if got is None else json.loads(got)
                elif name in ('created', 'effective'):
                    got = datetime.datetime.fromisoformat(got)
                self.same(p.title + ' ' + name, want, got)
            hostile = [name for name in row.keys() if name.startswith('a"b; DROP')]
            self.same('hostile', [p.position], [row[name] for name in hostile])

    def entries(self):
        tree, oids = self.root['tree'], self.root['tree']._p_oid.hex()
        rows = [r for r in self.rows('BTrees.OOBTree.OOBTree') if r['tree'] == oids]
        self.same('tree', [(k, v._p_oid.hex(), 'site.content.Page') for k, v in tree.items()],
                  sorted((r['key'], r['value.oid'], r['value.class']) for r in rows))
        self.same('set', sorted(self.root['set']), sorted(r['key'] for r in self.rows('BTrees.OOBTree.OOTreeSet')))
        rows = [r for r in self.rows('persistent.mapping.PersistentMapping')
                if r['oid'] == self.root['mapping']._p_oid.hex()]
        self.same('mapping', {'a': 1, 'b': 'two'}, {r['key']: json.loads(r['value']) for r in rows})
        self.same('list', [(0, 1), (1, 'x')],
                  [(r['key'], json.loads(r['value'])) for r in self.rows('persistent.list.PersistentList')])

    def run(self):
        self.same('integrity', 'ok', self.sql.execute('PRAGMA integrity_check').fetchone()[0])
        self.pages()
        self.entries()
        print(json.dumps(self.wrong[:20]))


if sys.argv[1] == 'make':
    make(sys.argv[2])
else:
    Check(*sys.argv[2:]).run()
