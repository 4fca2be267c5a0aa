"""Runs the storage tests of the released ZODB package through ZEO clients, as far as ZEO's own tests leave them out.

    zodb_storages.py SERVER...

ZEO's tests inherit most of ZODB's: run.py runs those. What is left is here, with ZODB's classes unmodified. At the end
a table says how many tests of each class run here or there, and it is a failure when one runs nowhere without a reason
below, or when a class of the list has none.
"""
import collections
import fnmatch
import importlib
import os
import sys
import tempfile
import unittest

import run
import ZEO._forker

ZEO._forker.start_zeo_server = run.start_zeo_server  # before ZEO.tests.forker takes its copy

import ZEO.ClientStorage  # noqa: E402
import ZEO.tests.testZEO  # noqa: E402
from ZODB.tests import HistoryStorage, IteratorStorage, PersistentStorage  # noqa: E402

CLASSES = """
BasicStorage.BasicStorage ConflictResolution.ConflictResolvingStorage
ConflictResolution.ConflictResolvingTransUndoStorage HistoryStorage.HistoryStorage IteratorStorage.IteratorStorage
IteratorStorage.ExtendedIteratorStorage MTStorage.MTStorage PackableStorage.PackableStorage
PackableStorage.PackableStorageWithOptionalGC PackableStorage.PackableUndoStorage PersistentStorage.PersistentStorage
ReadOnlyStorage.ReadOnlyStorage RecoveryStorage.RecoveryStorage RevisionStorage.RevisionStorage
Synchronization.SynchronizedStorage TransactionalUndoStorage.TransactionalUndoStorage testblob.BlobUndoTests
testblob.RecoveryBlobStorage racetest.RaceTests
""".split()

NOT_RUN = {
    'testPackAllRevisionsNoGC': 'ClientStorage.pack cannot say that garbage stays: the server is configured so',
    'testSimpleBlobRecovery': 'ClientStorage does not provide IBlobStorageRestoreable, whatever the server',
    'testUndoConflictResolution': "conflicts of an application's class, in the server",
    'testUndoMultipleConflictResolution': "conflicts of an application's class, in the server",
    'testUndoMultipleConflictResolutionReversed': "conflicts of an application's class, in the server",
}


class Through(ZEO.tests.testZEO.GenericTestBase, HistoryStorage.HistoryStorage,
              IteratorStorage.ExtendedIteratorStorage, PersistentStorage.PersistentStorage):

    def setUp(self):
        super().setUp()
        self.address = self._storage._addr

    def getConfig(self):
        return '<filestorage 1>\npath %s/Data.fs\n</filestorage>' % tempfile.mkdtemp(dir='.')

    def open(self):
        self._storage = ZEO.ClientStorage.ClientStorage(self.address, wait=1)


def tests_of(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_of(test)
        else:
            yield test


def methods(cls):
    return [name for name in vars(cls) if name.startswith('test') and callable(vars(cls)[name])]


def coverage(here):
    """Counts the tests of each class of the list, and names those that nobody runs."""
    left_out = [pattern for pattern, _ in run.left_out()]
    ran = collections.Counter()
    there = [t for t in tests_of(ZEO.tests.testZEO.test_suite())
             if not any(fnmatch.fnmatchcase(run.test_name(t), p) for p in left_out)]
    for test in there + list(tests_of(here)):
        for cls in type(test).__mro__:
            if test._testMethodName in vars(cls):
                ran[cls, test._testMethodName] += 1
    for path in CLASSES:
        module, name = path.split('.')
        cls = getattr(importlib.import_module('ZODB.tests.' + module), name)
        missing = [m for m in methods(cls) if not ran[cls, m] and m not in NOT_RUN]
        yield path, sum(ran[cls, m] for m in methods(cls)), [m for m in methods(cls) if m in NOT_RUN], missing


def main():
    run.command[:] = sys.argv[1:]
    os.chdir(tempfile.mkdtemp())
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Through)
    table = list(coverage(suite))
    result = unittest.TextTestRunner(sys.stdout).run(suite)
    failed = not result.wasSuccessful()
    for path, number, not_run, missing in table:
        note = ''.join('; not %s: %s' % (m, NOT_RUN[m]) for m in not_run)
        if missing or not number and not not_run:
            failed, note = True, note + '; RUN NOWHERE: %s' % (missing or 'all')
        print('%4d  %s%s' % (number, path, note))
    sys.exit(failed)


if __name__ == '__main__':
    main()
