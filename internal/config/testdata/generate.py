"""Writes the configuration files that buildout generates, with the recipe itself: generate.py FOLDER.

Needs an environment with plone.recipe.zeoserver (4.0.1 wrote what is here) and zc.zrs.
"""
import os
import shutil
import sys
import tempfile
import types

from plone.recipe.zeoserver.mkzeoinstance import ZEOInstanceBuilder
from plone.recipe.zeoserver.recipe import Recipe

out = sys.argv[1]
home = '/srv/zeo'


def write(name, text):
    with open(os.path.join(out, name), 'w') as f:
        f.write(text)


def read(path):
    with open(path) as f:
        return f.read()


def recipe(name, **options):
    """Lets the recipe write zeo.conf for options of a buildout part."""
    root = tempfile.mkdtemp()
    location = os.path.join(root, 'parts', 'zeoserver')
    os.makedirs(os.path.join(location, 'etc'))
    part = dict(location=location, **{k.replace('_', '-'): v for k, v in options.items()})
    Recipe.build_zeo_conf(types.SimpleNamespace(
        options=part, name='zeoserver', buildout={'buildout': {'directory': root}}))
    write(name, read(os.path.join(location, 'etc', 'zeo.conf')).replace(root, home))
    shutil.rmtree(root)


def instance(name, blob_dir):
    """Lets mkzeoinstance write zeo.conf."""
    root = tempfile.mkdtemp()
    ZEOInstanceBuilder().create(root + '/i', dict(
        package='zeo', PACKAGE='ZEO', zodb_home=home + '/lib', zdaemon_home=home + '/lib', instance_home=home,
        address='8100', python=home + '/bin/python', blob_dir=blob_dir))
    write(name, read(root + '/i/etc/zeo.conf'))
    shutil.rmtree(root)


recipe('recipe.conf')
recipe('recipe-blobless.conf', blob_storage='', zeo_address='127.0.0.1:8100', pack_gc='false',
       pack_keep_old='false', storage_number='main')
recipe('recipe-log.conf', zeo_log_max_size='5 MB', zeo_log_old_files='5', zeo_log_level='WARN',
       effective_user='zope', zeo_address='/srv/zeo/var/zeo.sock', invalidation_queue_size='1000')
recipe('recipe-zrs-primary.conf', replicate_to='127.0.0.1:5000')
recipe('recipe-zrs-secondary.conf', replicate_from='127.0.0.1:5000', replicate_to='127.0.0.1:5001',
       keep_alive_delay='30', read_only='true')
recipe('recipe-additional.conf', zeo_conf_additional='<filestorage second>\n  path /srv/zeo/var/second.fs\n</filestorage>')
recipe('recipe-monitor.conf', monitor_address='8101')
instance('mkzeoinstance.conf', '')
instance('mkzeoinstance-blobs.conf', 'blob-dir $INSTANCE/var/blobs')
