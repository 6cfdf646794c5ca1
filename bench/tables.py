# SPDX-License-Identifier: ISC
"""Tables of 1,000,000 entries: building them, and as many lookups through one open table, by postmap -q -."""
import os
import random
import subprocess
import tempfile
import time

ENTRIES = 1000000
SUFFIX = {"hash": ".db", "btree": ".db", "lmdb": ".lmdb", "cdb": ".cdb"}


def _write(folder):
    names = [f"user{i}.{i * 7919 % 1000003}@example{i % 100}.com" for i in range(ENTRIES)]
    with open(f"{folder}/map", "w", encoding="ascii") as f:
        f.writelines(f"{name}\tdest{i}@host\n" for i, name in enumerate(names))
    random.Random(1).shuffle(names)
    with open(f"{folder}/keys", "w", encoding="ascii") as f:
        f.writelines(name + "\n" for name in names)
    with open(f"{folder}/main.cf", "w", encoding="ascii") as f:
        f.write("compatibility_level = 3.6\nmyhostname = a.example.com\n")


def _seconds(command, folder, lookups):
    start = time.monotonic()
    with open(f"{folder}/keys" if lookups else os.devnull, "rb") as keys, open(f"{folder}/out", "wb") as out:
        subprocess.run([command[0], "-c", folder, *command[1:]], stdin=keys, stdout=out, cwd=folder, check=True)
    return time.monotonic() - start


def _count(path):
    with open(path, "rb") as f:
        return sum(1 for _ in f)


def run(build, kinds=("hash", "btree", "lmdb", "cdb")):
    """Yields (kind, {"build": (ours, theirs), "lookup": (ours, theirs)}) in seconds; each asks the file that it has built."""
    with tempfile.TemporaryDirectory(prefix="bench-tables.") as folder:
        _write(folder)
        for kind in kinds:
            figures = {"build": [], "lookup": []}
            for postmap in (f"{build}/sbin/postmap", "/usr/sbin/postmap"):
                figures["build"].append(_seconds([postmap, f"{kind}:map"], folder, False))
                figures["lookup"].append(_seconds([postmap, "-q", "-", f"{kind}:map"], folder, True))
                found = _count(f"{folder}/out")
                assert found == ENTRIES, f"{postmap} {kind}: {found} of {ENTRIES} keys found"
                os.unlink(f"{folder}/map{SUFFIX[kind]}")
            yield kind, figures


if __name__ == "__main__":
    for name, result in run(os.environ["POSTRIDER_BUILD"]):
        for what, (ours, theirs) in result.items():
            print(f"{name + ', ' + what:<16} {ours:6.2f} s  Postfix {theirs:6.2f} s  {theirs / ours:5.2f} x", flush=True)
