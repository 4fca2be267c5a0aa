"""Makes records.jsonl: records of real objects, pickled by the real packages, and what they are.

Needs: ZODB DateTime plone.registry z3c.relationfield zope.intid zope.keyreference plone.uuid zope.i18nmessageid
"""
import collections
import datetime
import decimal
import io
import json
import pickle
import os
import sys
import tempfile
import types
import uuid

import transaction
import zope.component
from persistent.interfaces import IPersistent
import ZODB
import zodbpickle
from BTrees.IOBTree import IOBTree
from BTrees.LOBTree import LOBTree
from BTrees.OIBTree import OITreeSet
from BTrees.OOBTree import OOBTree, OOSet
from BTrees.Length import Length
from DateTime import DateTime
from persistent import Persistent
from persistent.list import PersistentList
from persistent.mapping import PersistentMapping
from persistent.wref import WeakRef
from plone.registry import Record, Registry, field
from z3c.relationfield import RelationValue
from zope import interface
from zope.i18nmessageid import MessageFactory
from zope.intid import IntIds
from zope.keyreference.persistent import KeyReferenceToPersistent
from ZODB.blob import Blob
from ZODB.utils import p64

site = types.ModuleType("old.site")
sys.modules["old"] = types.ModuleType("old")
sys.modules["old.site"] = site


IMarker = interface.interface.InterfaceClass("IMarker", (interface.Interface,), __module__="old.site")


class Page(Persistent):
    pass


class Args(Persistent):
    def __new__(cls, *args):
        return super().__new__(cls)

    def __getnewargs__(self):
        return ("x", 1)


for c in Page, Args:
    c.__module__ = "old.site"
for c in IMarker, Page, Args:
    setattr(site, c.__name__, c)

folder = tempfile.TemporaryDirectory()
database = ZODB.DB(os.path.join(folder.name, "Data.fs"), blob_dir=os.path.join(folder.name, "blobs"))
connection = database.open()
root = connection.root()


def put(name, obj):
    root[name] = obj
    return obj


page = put("page", Page())
page.title = "Käse \u2713"
page.created = datetime.datetime(2024, 5, 6, 8, 0, 3, 750000, tzinfo=datetime.timezone.utc)
page.day = datetime.date(2024, 2, 29)
page.clock = datetime.time(23, 59)
page.span = datetime.timedelta(days=-1, seconds=5, microseconds=7)
page.zope = DateTime("2024/05/06 10:00:03 GMT+2")
page.numbers = (1, -2, 2 ** 70, 1.5, float("inf"), True, None)
page.data = zodbpickle.binary(b"\x00\xff'")
page.names = {"b", }
page.frozen = frozenset([1])
page.uid = uuid.UUID(int=0x0123456789ABCDEF0123456789ABCDEF)
page.price = decimal.Decimal("12.50")
page.ordered = collections.OrderedDict([("z", 1), ("a", 2)])
page.mixed = {1: "one", (2, 3): [4]}
page.cls = Args
page.loop = []
page.loop.append(page.loop)
page.message = MessageFactory("plone")("label", default="Label", mapping={"n": 1})
interface.alsoProvides(page, IMarker)
args = put("args", Args())
args.page = page
args.weak = WeakRef(page)
put("mapping", PersistentMapping({"k": page}))
put("list", PersistentList([1, page]))
put("btree", OOBTree({"a": 1, "b": page}))
big = put("big", IOBTree())
for i in range(200):
    big[i] = "v%d" % i
put("set", OOSet(["x", "y"]))
put("treeset", OITreeSet(["x"]))
put("length", Length(7))
registry = put("registry", Registry())
registry.records["plone.title"] = Record(field.TextLine(title="Title"), "Site")
connection.add(page)
zope.component.provideAdapter(KeyReferenceToPersistent, adapts=(IPersistent,))
intids = put("intids", IntIds())
uid = intids.register(page)
relation = put("relation", RelationValue(uid))
relation.from_object = args
relation.from_attribute = "related"
put("blob", Blob(b"content"))
transaction.commit()


def record(oid):
    return database.storage.load(oid)[0]


def older(protocol):
    """The record of page as an older pickler would write it."""
    out = io.BytesIO()
    p = pickle.Pickler(out, protocol)
    if protocol > 0:  # which can write no tuples there
        p.persistent_id = lambda o: (o._p_oid, type(o)) if isinstance(o, Persistent) and o._p_oid else None
    p.dump(Page)
    state = {k: v for k, v in page.__getstate__().items() if k not in ("data", "__provides__", "message")}
    if protocol > 0:
        state["ref"] = args
    p.dump(state)
    return out.getvalue()


with open(sys.argv[1], "w") as out:
    for number in range(len(database.storage)):
        oid = p64(number)
        print(json.dumps({"oid": oid.hex(), "record": record(oid).hex()}), file=out)
    for protocol in range(6):
        print(json.dumps({"oid": "protocol %d" % protocol, "record": older(protocol).hex()}), file=out)
