"""Makes site.fs and catalog.fs: two databases of a site with all that zrsd classes, refs and find look for.

Usage: site.py FOLDER. Needs: ZODB plone.registry z3c.relationfield zope.intid zope.keyreference
"""
import os
import sys
import types

import transaction
import ZODB
import zope.component
from persistent import Persistent
from persistent.interfaces import IPersistent
from persistent.mapping import PersistentMapping
from persistent.wref import WeakRef
from plone.registry import Record, Registry, field
from z3c.relationfield import RelationValue
from ZODB.FileStorage import FileStorage
from zope.intid import IntIds
from zope.keyreference.persistent import KeyReferenceToPersistent


def module(name, *classes):
    m = sys.modules[name] = types.ModuleType(name)
    for c in classes:
        made = type(c, (Persistent,), {"__module__": name})
        setattr(m, c, made)
    return m


module("old")
module("new")
old = module("old.site", "Document", "Folder", "Lonely")
new = module("new.site", "Page")

folder = sys.argv[1]
databases = {}
main = ZODB.DB(FileStorage(os.path.join(folder, "site.fs")), databases=databases, database_name="main")
catalog = ZODB.DB(FileStorage(os.path.join(folder, "catalog.fs")), databases=databases, database_name="catalog")
connection = main.open()
root = connection.root()
other = connection.get_connection("catalog").root()


def commit(note):
    transaction.get().note(note)
    transaction.get().setUser("admin")
    transaction.commit()


root["folder"] = site = old.Folder()
site.documents = PersistentMapping()
for n in range(3):
    site.documents["d%d" % n] = d = old.Document()
    d.title = "Document %d" % n
    d.parent = site
site.first = site.documents["d0"]
root["registry"] = registry = Registry()
registry.records["title"] = Record(field.TextLine(title="Title"), "Site")
commit("a site")

zope.component.provideAdapter(KeyReferenceToPersistent, adapts=(IPersistent,))
root["intids"] = intids = IntIds()
connection.add(intids)
root["relation"] = RelationValue(intids.register(site))
root["weak"] = WeakRef(site)
commit("relations")

other["index"] = PersistentMapping()
other["lost"] = PersistentMapping({"only": "the main database refers to it"})
commit("a catalog")
root["catalog"] = other["index"]
root["lost"] = other["lost"]
del other["lost"]
commit("who uses it")

# A class is changed: the mapping still refers to documents of the old one.
for n in 0, 1:
    document = site.documents["d%d" % n]
    document._p_activate()
    state = document.__dict__.copy()
    oid, jar = document._p_oid, document._p_jar
    document.__class__ = new.Page
    document._p_changed = True
commit("documents are pages")
site.second = site.documents["d1"]
commit("who refers to a page now")

# Two objects that only refer to each other, one that refers to itself, and one that nothing refers to.
for name in "one", "self", "none":
    root[name] = old.Lonely()
root["one"].other = old.Lonely()
root["one"].other.back = root["one"]
root["self"].me = root["self"]
commit("lonely objects")
for name in "one", "self", "none":
    del root[name]
commit("removed")

# An object whose creation is undone, and one that is deleted, while they are referred to.
site.gone = PersistentMapping()
commit("soon undone")
undone = main.undoLog(0, 1)[0]["id"]
site.reference = site.gone
keep = site.gone._p_oid
commit("refers to it")
storage = main.storage
from ZODB.Connection import TransactionMetaData  # noqa: E402
from ZODB.utils import p64  # noqa: E402

t = TransactionMetaData("admin", "deletes an object")
data, serial = storage.load(keep)[:2]
storage.tpc_begin(t)
storage.deleteObject(keep, serial, t)
storage.tpc_vote(t)
storage.tpc_finish(t)

# A reference to an object that was never there.
site.missing = old.Document()
commit("a document")
oid = site.missing._p_oid
data, serial = storage.load(site._p_oid)
t = TransactionMetaData("admin", "damages a reference")
storage.tpc_begin(t)
storage.store(site._p_oid, serial, data.replace(oid, p64(0x123456)), "", t)
storage.tpc_vote(t)
storage.tpc_finish(t)
main.close()
catalog.close()
