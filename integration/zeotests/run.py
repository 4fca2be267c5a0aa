"""Runs the tests of the released ZEO package, unmodified, against another server.

    run.py SERVER... -- [zope-testrunner options]

SERVER is a command that takes "-C zeo.conf", such as "zrsd serve". The one function of the package that starts a server,
ZEO._forker.start_zeo_server, is replaced by one that writes the same zeo.conf and runs that command in a process; all
clients and all tests are ZEO's own. Tests listed in left_out.txt are not run, with the reason beside each.
"""
import fnmatch
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import ZEO._forker

HERE = os.path.dirname(os.path.abspath(__file__))
START_TIMEOUT = 30
STOP_TIMEOUT = 30

command = []


def free_port(host):
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.bind((host, 0))
        return s.getsockname()[1]


def choose_port(conf):
    """Puts a real port where the test left the choice to the server."""
    def chosen(match):
        return '%s%s:%d' % (match.group(1), match.group(2), free_port(match.group(2).strip('[]') or '127.0.0.1'))
    return re.sub(r'(?m)^(\s*address\s+)(\S*):\s*0\s*$', chosen, conf)


def address_of(conf):
    value = re.search(r'(?m)^\s*address\s+(\S.*?)\s*$', conf).group(1)
    if '/' in value or not re.search(r'\d+$', value):
        return value
    host, _, port = value.rpartition(':')
    return host.strip('[] ') or '127.0.0.1', int(port)


def without_mappingstorage(conf):
    """zrsd has no storage in memory: a file storage takes its place."""
    def replaced(match):
        path = tempfile.mktemp('.fs', 'mapping', os.getcwd())
        return '<filestorage%s>\n path %s\n</filestorage>' % (match.group(1), path)
    conf = re.sub(r'<mappingstorage([^/>]*)/>', replaced, conf)
    return re.sub(r'(?s)<mappingstorage([^>]*)>.*?</mappingstorage>', replaced, conf)


def emptied(conf):
    """zrsd refuses "create true", which empties a database at each start: what the key would do is done here."""
    wanted = re.compile(r'(?mi)^\s*create\s+(1|true|yes|on)\s*$\n?')
    for section in re.findall(r'(?s)<filestorage.*?</filestorage>', conf):
        if wanted.search(section):
            remove_storages(section)
    return wanted.sub('', conf)


def server_for(conf):
    """A server whose storage is a ZEO client can only be the real one; the server behind it is the other."""
    return [sys.executable, '-m', 'ZEO.runzeo'] if '<zeoclient' in conf else command


def wait_until_up(process, address, log):
    limit = time.monotonic() + START_TIMEOUT
    while time.monotonic() < limit:
        if process.poll() is not None:
            break
        family = socket.AF_UNIX if isinstance(address, str) else (
            socket.AF_INET6 if ':' in address[0] else socket.AF_INET)
        with socket.socket(family, socket.SOCK_STREAM) as s:
            try:
                s.connect(address)
                time.sleep(.02)
                if process.poll() is None:  # and it was not another server that had taken the port
                    return
            except OSError:
                time.sleep(.02)
    process.kill()
    process.wait()
    with open(log) as f:
        raise RuntimeError('the server did not start: ' + f.read())


def start_zeo_server(storage_conf=None, zeo_conf=None, port=None, keep=False, path='Data.fs', protocol=None,
                     blob_dir=None, suicide=True, debug=False, threaded=False, start_timeout=33, name=None, log=None,
                     show_config=False):
    """Has the arguments and results of the function whose place it takes."""
    if not storage_conf:
        storage_conf = '<filestorage>\npath %s\n</filestorage>' % path
    if blob_dir:
        storage_conf = '<blobstorage>\nblob-dir %s\n%s\n</blobstorage>' % (blob_dir, storage_conf)
    if zeo_conf is None or isinstance(zeo_conf, dict):
        address = ('127.0.0.1', port or 0) if port is None or isinstance(port, int) else port
        settings = ZEO._forker.ZEOConfig(address, log=log)
        settings.__dict__.update(zeo_conf or {})
        zeo_conf = settings
    if protocol == b'Z4':
        raise unittest.SkipTest('Z4 is not served')
    conf = emptied(choose_port(without_mappingstorage('%s\n\n%s' % (zeo_conf, storage_conf))))
    if show_config:
        print(conf)
    fd, conf_file = tempfile.mkstemp('.conf', 'ZEO_forker', os.getcwd())
    with os.fdopen(fd, 'w') as f:
        f.write(conf)
    fd, output = tempfile.mkstemp('.out', 'server', os.getcwd())
    with os.fdopen(fd, 'w') as f:
        process = subprocess.Popen(server_for(conf) + ['-C', conf_file], stdin=subprocess.DEVNULL, stdout=f, stderr=f)
    address = address_of(conf)
    wait_until_up(process, address, output)
    os.remove(conf_file)

    def stop(stop_timeout=STOP_TIMEOUT):
        if process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(stop_timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError('the server did not stop within %s s of SIGTERM' % stop_timeout)
        if code != 0:
            with open(output) as f:
                raise AssertionError('the server ended with %s: %s' % (code, f.read()))
        if not keep:
            remove_storages(conf)

    return address, stop


def remove_storages(conf):
    for section in re.findall(r'(?s)<filestorage.*?</filestorage>', conf):
        data = re.search(r'(?m)^\s*path\s+(\S+)', section).group(1)
        for end in '', '.index', '.lock', '.tmp', '.old', '.zrsd':
            if os.path.isfile(data + end):
                os.remove(data + end)


def left_out():
    """Yields (pattern, reason)."""
    with open(os.path.join(HERE, 'left_out.txt')) as f:
        for line in f:
            line = line.strip()
            if line and not line.startswith('#'):
                pattern, _, reason = line.partition('  ')
                yield pattern, reason.strip()


def leave_out(suite, patterns, seen):
    """Removes the tests that match a pattern, and notes which patterns did."""
    kept = []
    for test in suite._tests:
        if isinstance(test, unittest.TestSuite):
            leave_out(test, patterns, seen)
            kept.append(test)
            continue
        matching = [p for p in patterns if fnmatch.fnmatchcase(test_name(test), p)]
        seen.update(matching)
        if not matching:
            kept.append(test)
    suite._tests = kept


def test_name(test):
    """The id of a test; of a file of examples its path below site-packages, which its id does not have."""
    return re.sub(r'^.*/(ZEO|ZODB)/', r'\1/', str(test)) if str(test).startswith('/') else test.id()


def main():
    split = sys.argv.index('--')
    command[:] = sys.argv[1:split]
    ZEO._forker.start_zeo_server = start_zeo_server  # before ZEO.tests.forker takes its copy
    from zope.testrunner import find, run_internal
    patterns = dict(left_out())
    seen = set()
    build = find.find_suites

    def find_suites(*args, **kw):
        for suite in build(*args, **kw):
            if hasattr(suite, '_tests'):
                leave_out(suite, patterns, seen)
            yield suite

    find.find_suites = find_suites
    where = os.path.dirname(os.path.dirname(os.path.abspath(ZEO.__file__)))
    failed = run_internal(['--test-path', where, '-s', 'ZEO.tests'] + sys.argv[split + 1:], [sys.argv[0]])
    print('left out: %d of the patterns in left_out.txt matched tests of this run' % len(seen))
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
