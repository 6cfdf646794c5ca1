# SPDX-License-Identifier: ISC
"""master: starting, watching, reloading and stopping; the privileges of each process."""

import glob
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from instance import BUILD, Instance, wait_until  # noqa: E402

# What the service table promises: user, and whether the root is the empty directory.
PROMISED = {
    "smtpd": ("postrider-net", True),
    "cleanup": ("postrider", False),
    "qmgr": ("postrider", False),
    "pickup": ("postrider", False),
    "bounce": ("postrider", False),
    "showq": ("postrider", False),
    "resolver": ("postrider-dns", True),
    "smtp": ("postrider-out", True),
    "lmtp": ("postrider-out", False),
    "local": ("root", False),
}
AT_START = {"smtpd", "cleanup", "qmgr", "pickup", "resolver"}


def children(pid):
    """{pid: program} of the processes that `pid` has started."""
    found = {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path) as f:
                text = f.read()
            child = int(text.split()[0])
            if int(text.rsplit(")", 1)[1].split()[1]) == pid and text.rsplit(")", 1)[1].split()[0] != "Z":
                with open(f"/proc/{child}/cmdline", "rb") as f:
                    found[child] = f.read().split(b"\0")[0].decode()
        except (OSError, IndexError, ValueError):
            pass  # it has ended meanwhile
    return found


def status_of(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def greeting(port):
    s = socket.create_connection(("127.0.0.1", port), 20)
    s.settimeout(20)
    return s, s.recv(1000)


class MasterTest(unittest.TestCase):
    def setUp(self):
        self.instance = Instance()
        self.addCleanup(self.instance.close)

    def start(self):
        self.instance.start()
        self.pid = self.instance.process.pid
        wait_until(lambda: AT_START <= set(children(self.pid).values()), 30, "processes")

    def of_program(self, name):
        return {pid for pid, program in children(self.pid).items() if program == name}

    def log_has(self, pattern, seconds=20):
        wait_until(lambda: re.search(pattern, self.instance.log()), seconds, f"log line {pattern}")

    def running(self):
        return self.instance.command("postrider", "status").stdout.decode()

    def assert_sandboxed(self, pid, program, user, chrooted):
        status = wait_until(lambda: (lambda s: s["Seccomp"] == "2" and s)(status_of(pid)), 20,
                            f"seccomp filter of {program}")
        uid = pwd.getpwnam(user).pw_uid
        self.assertEqual(status["Uid"].split(), [str(uid)] * 4, program)
        self.assertEqual(status["NoNewPrivs"], "1", program)
        if uid != 0:
            self.assertEqual(int(status["CapEff"], 16), 0, program)
            self.assertEqual(int(status["CapPrm"], 16), 0, program)
        root = os.readlink(f"/proc/{pid}/root")
        self.assertEqual(root, self.instance.dir + "/spool/empty" if chrooted else "/", program)

    @unittest.skipIf(os.getuid() != 0, "needs root")
    def test_each_process_has_the_privileges_of_its_row(self):
        self.start()
        self.instance.command("postqueue", "-p", check=False)  # showq, on demand
        for pid, program in children(self.pid).items():
            with self.subTest(program=program):
                self.assert_sandboxed(pid, program, *PROMISED[program])
        self.assertEqual(os.listdir(self.instance.dir + "/spool/empty"), [])

    def test_no_root_needed(self):
        user = "nobody" if os.getuid() == 0 else None
        who = pwd.getpwnam(user) if user else pwd.getpwuid(os.getuid())
        if user:
            for sub in ("spool", "lib", "etc"):
                shutil.chown(f"{self.instance.dir}/{sub}", who.pw_uid, who.pw_gid)
            with open(self.instance.log_path, "w"):
                pass
            os.chown(self.instance.log_path, who.pw_uid, who.pw_gid)
            # A build below a private home is out of that user's reach.
            probe = subprocess.run([f"{BUILD}/sbin/postrider", "-c", self.instance.etc, "status"], user=who.pw_uid,
                                   group=who.pw_gid, extra_groups=[], capture_output=True) \
                if os.access(BUILD, os.X_OK) else None
            if probe is None or b"not running" not in probe.stderr:
                self.skipTest("user nobody cannot run the build")
        options = dict(user=who.pw_uid, group=who.pw_gid, extra_groups=[]) if user else {}
        with open(self.instance.dir + "/stdout", "ab") as out:
            self.instance.process = subprocess.Popen(
                [f"{BUILD}/sbin/postrider", "-c", self.instance.etc, "start-fg"], stdin=subprocess.DEVNULL,
                stdout=out, stderr=subprocess.STDOUT, **options)
        self.pid = self.instance.process.pid
        wait_until(self.instance.answers, 60, "greeting")
        for pid, program in children(self.pid).items():
            with self.subTest(program=program):
                self.assert_sandboxed(pid, program, who.pw_name, False)

    def test_second_start_is_refused_and_stale_pid_file_is_not(self):
        self.start()
        second = self.instance.command("postrider", "start", check=False)
        self.assertEqual(second.returncode, 1)
        self.assertIn(f"already running, pid {self.pid}".encode(), second.stderr)
        self.assertTrue(self.instance.answers())
        # Master dies: its processes finish, the file stays, the next start works.
        old = children(self.pid)
        os.kill(self.pid, signal.SIGKILL)
        self.instance.process.wait()
        with open(self.instance.dir + "/spool/pid/master.pid") as f:
            self.assertEqual(int(f.read()), self.pid)
        status = self.instance.command("postrider", "status", check=False)
        self.assertEqual(status.returncode, 1)
        self.assertIn(b"not running", status.stderr)
        self.start()
        self.assertEqual([p for p in old if alive(p)], [], "processes of the dead master")
        with open(self.instance.dir + "/spool/pid/master.pid") as f:
            self.assertEqual(int(f.read()), self.pid)

    def test_start_in_background_and_stop(self):
        done = self.instance.command("postrider", "start")
        self.assertEqual(done.returncode, 0)
        with open(self.instance.dir + "/spool/pid/master.pid") as f:
            self.pid = int(f.read())
        try:
            s, line = greeting(self.instance.port)
            self.assertTrue(line.startswith(b"220"), line)
            s.close()
            wait_until(lambda: "running" in self.running(), 30, "running process in the status")
            mine = children(self.pid)
        finally:
            self.instance.command("postrider", "stop")
        self.assertFalse(alive(self.pid))
        self.assertEqual([p for p in mine if alive(p)], [])
        self.assertEqual(self.instance.command("postrider", "stop", check=False).returncode, 1)

    def test_start_says_what_is_wrong(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            with open(self.instance.etc + "/master.cf", "a") as f:
                f.write(f"127.0.0.1:{taken.getsockname()[1]} inet n - n - - smtpd\n")
            done = self.instance.command("postrider", "start", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"Address already in use", done.stderr)

    def test_killed_process_is_restarted(self):
        self.start()
        for program, signum in (("resolver", 9), ("pickup", 9), ("cleanup", 9), ("qmgr", 9), ("smtpd", 9)):
            victim = sorted(self.of_program(program))[0]
            count = len(self.of_program(program))
            wait_until(lambda: status_of(victim)["Seccomp"] == "2", 20, "sandbox")
            os.kill(victim, signum)
            self.log_has(rf"warning: process \S*/{program} pid {victim} killed by signal {signum}")
            wait_until(lambda: victim not in self.of_program(program) and len(self.of_program(program)) == count, 20,
                       f"new {program}")
        wait_until(self.instance.answers, 20, "greeting")

    def test_process_that_dies_at_start_is_throttled(self):
        programs = self.instance.dir + "/programs"
        os.mkdir(programs)
        for path in glob.glob(BUILD + "/libexec/*"):
            os.symlink(os.path.realpath(path), f"{programs}/{os.path.basename(path)}")
        os.unlink(programs + "/resolver")
        os.symlink("/bin/false", programs + "/resolver")
        self.instance.settings["daemon_directory"] = programs
        self.instance.write_main_cf()
        self.instance.start()
        self.pid = self.instance.process.pid
        self.log_has("resolver: bad command startup -- throttling")
        wait_until(lambda: self.instance.log().count("resolver: bad command startup") >= 3, 30, "further attempts")
        # 1, 2, 4 seconds between attempts, not a loop
        times = re.findall(r":(\d\d) \S+ \S+: warning: \S*resolver: bad command startup", self.instance.log())
        self.assertGreaterEqual((int(times[2]) - int(times[0])) % 60, 2)
        self.assertIn("throttled", self.running())
        self.assertTrue(self.instance.answers())

    def test_reload_takes_over_and_keeps_sessions(self):
        self.start()
        old = self.of_program("smtpd")
        s, line = greeting(self.instance.port)
        self.assertTrue(line.startswith(b"220"), line)
        for _ in range(3):
            self.instance.command("postrider", "reload")
            for _ in range(20):  # while processes change, nobody is turned away
                t, line = greeting(self.instance.port)
                self.assertTrue(line.startswith(b"220"), line)
                t.close()
        self.log_has("reload")
        wait_until(lambda: len(self.of_program("smtpd") & old) == 1, 20, "retirement of all but the one in use")
        s.sendall(b"QUIT\r\n")
        self.assertTrue(s.recv(100).startswith(b"221"))
        s.close()
        wait_until(lambda: not self.of_program("smtpd") & old, 20, "end of the old process")
        wait_until(lambda: len(self.of_program("qmgr")) == 1, 30, "one qmgr")

    def test_wrong_configuration_keeps_the_old_one(self):
        self.start()
        before = children(self.pid)
        for name, text in (("main.cf", "inet_protocols = rubbish\ndefault_process_limit = many\n"),
                           ("main.cf", "this is no parameter\n"),
                           ("master.cf", "smtp inet n - n\n"),
                           ("master.cf", "127.0.0.1:0 inet n - n - - smtpd -o default_process_limit=many\n"),
                           ("master.cf", "no.such.host.invalid:25 inet n - n - - smtpd\n")):
            with self.subTest(text=text):
                path = f"{self.instance.etc}/{name}"
                with open(path) as f:
                    good = f.read()
                with open(path, "a") as f:
                    f.write(text)
                seen = self.instance.log().count("the old configuration stays in use")
                os.kill(self.pid, signal.SIGHUP)
                wait_until(lambda: self.instance.log().count("the old configuration stays in use") > seen, 20,
                           "refusal")
                self.assertTrue(self.instance.answers())
                self.assertEqual(set(before) - set(children(self.pid)), set())
                # Also what starts now gets the old one.
                victim = sorted(self.of_program("resolver"))[0]
                os.kill(victim, signal.SIGKILL)
                wait_until(lambda: self.of_program("resolver") - {victim}, 20, "new resolver")
                before = children(self.pid)
                with open(path, "w") as f:
                    f.write(good)
        self.assertIsNone(re.search(r"resolver pid \d+ exit status", self.instance.log()))

    def test_reload_opens_and_closes_ports(self):
        self.start()
        from instance import free_port
        port = free_port()
        with open(self.instance.etc + "/master.cf", "a") as f:
            f.write(f"127.0.0.1:{port} inet n - n - 1 smtpd\n")
        self.instance.command("postrider", "reload")
        s, line = wait_until(lambda: self.try_greeting(port), 20, "second port")
        self.assertTrue(line.startswith(b"220"))
        s.close()
        with open(self.instance.etc + "/master.cf") as f:
            lines = f.read().splitlines(True)
        with open(self.instance.etc + "/master.cf", "w") as f:
            f.writelines(lines[:-1])
        self.instance.command("postrider", "reload")
        wait_until(lambda: not self.listens(port), 20, "closed port")
        self.assertTrue(self.instance.answers())

    def listens(self, port):
        got = self.try_greeting(port)
        if got:
            got[0].close()
        return got

    def try_greeting(self, port):
        try:
            return greeting(port)
        except OSError:
            return None

    def test_log_is_reopened_when_it_was_moved(self):
        self.start()
        os.rename(self.instance.log_path, self.instance.log_path + ".1")
        wait_until(lambda: os.path.exists(self.instance.log_path), 30, "new log file")
        victim = sorted(self.of_program("pickup"))[0]
        os.kill(victim, 9)
        self.log_has(rf"pid {victim} killed")

    def test_check_names_mistakes_with_file_and_line(self):
        with open(self.instance.etc + "/main.cf", "a") as f:
            f.write("no_such_parameter = 1\nsmtpd_milters = unix:x\n")
        with open(self.instance.etc + "/master.cf", "a") as f:
            f.write("weird unix - n n - - spawn argv=/bin/true\n")
        done = self.instance.command("postrider", "check")
        report = done.stdout.decode()
        self.assertRegex(report, r"main\.cf line \d+: .*no_such_parameter")
        self.assertRegex(report, r"main\.cf line \d+: .*smtpd_milters.*no milter is asked")
        self.assertRegex(report, r"master\.cf line \d+: .*spawn is not implemented")
        with open(self.instance.etc + "/main.cf", "a") as f:
            f.write("default_process_limit = many\n")
        done = self.instance.command("postrider", "check", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr.decode(), r"main\.cf.*\d+.*default_process_limit")


if __name__ == "__main__":
    unittest.main()
