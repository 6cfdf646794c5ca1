# SPDX-License-Identifier: ISC
"""
make mutants: the harness has teeth.  Each mutant of the program lacks one thing that keeps mail: a sync, or an order; it is
built, and the crash test named beside it must find a loss.  First the same tests pass on the program as it is.
"""

import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.abspath(os.path.join(HERE, "..", ".."))

# Power cuts: (way, images); sweeps: (test, "way:process").
POWER, KILL, ERRORS = "power", "test_kill", "test_errors"
MUTANTS = [
    ("250 without a sync of the queue file", "cleanup/durable.c",
     [("if (fdatasync(item->fd) < 0)", "if (item->fd < 0)"),
      ("flush = b->items[i];", "flush = NULL;"),
      ("return sync_file_range(fd, 0, (off_t)length, SYNC_FILE_RANGE_WRITE) == 0;", "return fd >= 0 && length > 0;"),
      ("return sync_file_range(fd, 0, (off_t)length, SYNC_FILE_RANGE_WAIT_BEFORE",
       "return fd >= 0 || sync_file_range(fd, 0, (off_t)length, SYNC_FILE_RANGE_WAIT_BEFORE")],
     POWER, "maildir"),
    ("a Maildir's file is not synced", "delivery/lib/mailbox.c",
     [("content_write(c, fd) && fsync(fd) == 0;", "content_write(c, fd);")], POWER, "maildir"),
    ("a Maildir's new/ is not synced", "delivery/lib/mailbox.c",
     [("if (sync_folder_of(str_cstr(&n->new)) == 0)", "if (str_cstr(&n->new)[0])")], POWER, "maildir"),
    ("an mbox is not synced", "delivery/lib/mailbox.c",
     [("!content_write(c, fd) || fsync(fd) != 0 || (fresh && sync_folder_of(m->path) != 0)", "!content_write(c, fd)")],
     POWER, "mbox"),
    ("sendmail's file is not synced", "tools/postdrop.c",
     [("if (fchmod(fd, 0644) < 0 || fsync(fd) < 0 || rename", "if (fchmod(fd, 0644) < 0 || rename"),
      ("	if (fsync(fd) < 0)\n", "	if (fd < 0)\n")], POWER, "sendmail"),
    ("250 before the commit", "cleanup/submission.c",
     [("	ok = commit_message(&job->commit, me.settings, &refusal);\n",
       "	ipc_out_start(&out, CLEANUP_COMMITTED, job->request);\n"
       "	ipc_send(peer->channel, &out);\n	ok = commit_message(&job->commit, me.settings, &refusal);\n"),
      ("	if (ok && peer->channel) {\n", "	if (false) {\n")], KILL, "maildir:cleanup"),
    ("an agent that died has delivered", "qmgr/agent.c",
     [('message_fail_job(job, DELIVERY_DEFERRED, "4.3.0", "delivery agent gave no answer")',
       'message_fail_job(job, DELIVERY_SENT, "2.0.0", "delivery agent gave no answer")')], KILL, "maildir:local"),
    ("what lay in the queue at the start is not taken up", "qmgr/queue.c",
     [("		queue_wait(id, (double)st.st_mtim.tv_sec);\n", "		return;\n")], POWER, "maildir"),
    ("the notice counts before it is committed", "bounce/main.c",
     [("ipc_put_u64(&packet, QMGR_FIELD_COUNT, done);", "ipc_put_u64(&packet, QMGR_FIELD_COUNT, 1);")],
     KILL, "bounce:cleanup"),
    ("a failure is forgotten before its notice", "qmgr/message.c",
     [("return m->pending == 0 && m->failed == 0 && m->to_tell == 0;", "return m->pending == 0 && m->to_tell == 0;")],
     KILL, "bounce:bounce"),
    ("the maildrop file goes before the commit", "pickup/drop.c",
     [("	if (cleanup_commit(&session,", "	(void)unlinkat(me.settings->maildrop, name, 0);\n	if (cleanup_commit(&session,")],
     KILL, "sendmail:cleanup"),
    ("what a failed delivery left in an mbox stays", "delivery/lib/mailbox.c",
     [("	if (ftruncate(fd, size) != 0 || fsync(fd) != 0) {", "	if (size < 0 || fsync(fd) != 0) {")], ERRORS, "mbox:local"),
]


def test(build, kind, where):
    env = dict(os.environ, POSTRIDER_BUILD=build)
    if kind == POWER:
        env.update(POSTRIDER_POWER_IMAGES="30", POSTRIDER_POWER_WAYS=where)
        name = "tests/crash/test_power.py"
    else:
        env.update(POSTRIDER_SWEEP=where)
        name = f"tests.crash.test_sweep.Sweep.{kind}"
    return subprocess.run(["/usr/bin/python3", "-W", "ignore", "-m", "unittest", name], cwd=TOP, env=env,
                          capture_output=True)


def copy_tree(folder):
    files = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, check=True, capture_output=True).stdout.decode().split("\0")
    for name in filter(None, files):
        if name.startswith(("tests/fuzz/", "doc/")) or not os.path.exists(os.path.join(TOP, name)):
            continue
        os.makedirs(os.path.join(folder, os.path.dirname(name)), exist_ok=True)
        shutil.copy2(os.path.join(TOP, name), os.path.join(folder, name))


def mutate(folder, path, changes):
    """Gives back the text that was there."""
    full = os.path.join(folder, path)
    with open(full) as f:
        original = text = f.read()
    for old, new in changes:
        if text.count(old) != 1:
            sys.exit(f"{path}: {text.count(old)} times, not once: {old}")
        text = text.replace(old, new)
    with open(full, "w") as f:
        f.write(text)
    return original


def build(folder):
    place = folder + "/build"
    subprocess.run(["make", "-s", f"-j{os.cpu_count()}", "B=" + place, "CFLAGS=-O1 -Wno-error -Wno-unused -Wno-unused-function",
                    "all", place + "/crash/logged_disk"], cwd=folder, check=True, capture_output=True)
    return place


def main():
    # -n: without the tests of the program as it is; numbers: these mutants only.
    first = "-n" not in sys.argv
    wanted = [a for a in sys.argv[1:] if a != "-n"]
    survived = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        os.chmod(folder, 0o755)
        copy_tree(folder)
        program = build(folder)
        chosen = [m for i, m in enumerate(MUTANTS) if not wanted or str(i + 1) in wanted]
        for kind, where in sorted({(m[3], m[4]) for m in chosen}) if first else []:
            done = test(program, kind, where)
            if done.returncode:
                sys.exit(f"the program as it is: {kind} {where} fails:\n{done.stderr.decode()[-3000:]}")
            print(f"as it is: {kind} {where}: nothing lost", flush=True)
        for name, path, changes, kind, where in chosen:
            original = mutate(folder, path, changes)
            build(folder)
            found = test(program, kind, where).returncode != 0
            print(f"{'found' if found else 'NOT FOUND'}: {name} ({kind} {where})", flush=True)
            if not found:
                survived.append(name)
            with open(os.path.join(folder, path), "w") as f:
                f.write(original)
        build(folder)
    print(f"{len(chosen) - len(survived)} of {len(chosen)} mutants found")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
