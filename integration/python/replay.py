"""Repeats histories with the real ZODB and prints, as JSON, the undos for which the outcome was another one.

    replay.py JOBS

JOBS is a file with a list of {"data": path, "calls": [...]}. A call is {"op", "tid", "oid", "serial", "data"}, ids and
data in hexadecimal, where op is begin, store, delete, undo, refused (an undo that must fail), finish or abort.
"""
import base64
import json
import logging
import sys

import ZODB.Connection
import ZODB.FileStorage
import ZODB.POSException


def raw(call, name):
    return bytes.fromhex(call[name])


def undo(storage, call, txn):
    try:
        storage.undo(base64.b64encode(raw(call, 'tid')), txn)
        return 'undo'
    except ZODB.POSException.UndoError:
        return 'refused'


def replay(storage, calls):
    wrong = []
    for number, call in enumerate(calls):
        op = call['op']
        if op == 'begin':
            txn = ZODB.Connection.TransactionMetaData('u', 'step')
            storage.tpc_begin(txn, tid=raw(call, 'tid'))
        elif op == 'store':
            storage.store(raw(call, 'oid'), raw(call, 'serial'), raw(call, 'data'), '', txn)
        elif op == 'delete':
            storage.deleteObject(raw(call, 'oid'), raw(call, 'serial'), txn)
        elif op == 'finish':
            storage.tpc_vote(txn)
            storage.tpc_finish(txn)
        elif op == 'abort':
            storage.tpc_abort(txn)
        elif undo(storage, call, txn) != op:
            wrong.append(number)
    return wrong


def main(jobs):
    logging.disable(logging.CRITICAL)
    with open(jobs) as f:
        jobs = json.load(f)
    answers = []
    for job in jobs:
        storage = ZODB.FileStorage.FileStorage(job['data'])
        answers.append(replay(storage, job['calls']))
        storage.close()
    print(json.dumps(answers))


main(*sys.argv[1:])
