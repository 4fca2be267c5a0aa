"""Writes the wheels of zrsd: build.py DIR VERSION ARCH=BINARY...

zrsd         has the static binary as a script, for one processor
zrsd-runzeo  has a script runzeo, which starts zrsd with the command line of ZEO's runzeo

The same binaries give the same bytes. SOURCE_DATE_EPOCH is the time of all files.
"""

import base64
import hashlib
import os
import sys
import time
import zipfile

# A static binary needs no C library: it runs with glibc and with musl.
PLATFORMS = {
    "amd64": "manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64",
    "arm64": "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64",
}

METADATA = """\
Metadata-Version: 2.1
Name: {name}
Version: {version}
Summary: {summary}
Home-page: https://github.com/zrsd/zrsd
License: Apache-2.0
Classifier: License :: OSI Approved :: Apache Software License
Classifier: Operating System :: POSIX :: Linux
Classifier: Framework :: ZODB
{more}Description-Content-Type: text/markdown

{summary}
"""

WHEEL = """\
Wheel-Version: 1.0
Generator: packaging/wheel/build.py
Root-Is-Purelib: {pure}
"""

RUNZEO = """\
#!/bin/sh
# The zrsd of the same environment, with the command line of ZEO's runzeo.
exec "$(dirname "$(readlink -f "$0")")/zrsd" runzeo "$@"
"""


def write_wheel(directory, name, version, platforms, summary, more, script, content):
    """Writes a wheel with one script. platforms is empty for a wheel that runs everywhere."""
    project = name.replace("-", "_")
    info = f"{project}-{version}.dist-info"
    tags = [f"py3-none-{platform}" for platform in platforms.split(".")]
    wheel = WHEEL.format(pure="true" if platforms == "any" else "false") + "".join(f"Tag: {tag}\n" for tag in tags)
    with open("LICENSE", "rb") as f:
        license_text = f.read()
    files = [
        (f"{project}-{version}.data/scripts/{script}", content, 0o755),
        (f"{info}/METADATA", METADATA.format(name=name, version=version, summary=summary, more=more).encode(), 0o644),
        (f"{info}/WHEEL", wheel.encode(), 0o644),
        (f"{info}/LICENSE", license_text, 0o644),
    ]
    record = "".join(f"{path},{digest(data)},{len(data)}\n" for path, data, _ in files)
    files.append((f"{info}/RECORD", f"{record}{info}/RECORD,,\n".encode(), 0o644))
    when = time.gmtime(int(os.environ["SOURCE_DATE_EPOCH"]))[:6]
    path = os.path.join(directory, f"{project}-{version}-py3-none-{platforms}.whl")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, data, mode in files:
            entry = zipfile.ZipInfo(file, when)
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    print(path)


def digest(data):
    text = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()
    return "sha256=" + text.rstrip("=")


def main(directory, version, *binaries):
    os.makedirs(directory, exist_ok=True)
    extra = f"Provides-Extra: runzeo\nRequires-Dist: zrsd-runzeo (=={version}) ; extra == 'runzeo'\n"
    for binary in binaries:
        arch, path = binary.split("=", 1)
        with open(path, "rb") as f:
            content = f.read()
        summary = "Serves and replicates ZODB databases in place of runzeo and zc.zrs"
        write_wheel(directory, "zrsd", version, PLATFORMS[arch], summary, extra, "zrsd", content)
    summary = "A runzeo that is zrsd, in place of the one of ZEO"
    needs = f"Requires-Dist: zrsd (=={version})\n"
    write_wheel(directory, "zrsd-runzeo", version, "any", summary, needs, "runzeo", RUNZEO.encode())


main(*sys.argv[1:])
