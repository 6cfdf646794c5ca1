# SPDX-License-Identifier: ISC
"""postrider passwd: add, del, list and verify, from standard input and from a terminal."""
import os
import pty
import shutil
import stat
import subprocess
import tempfile
import unittest

BUILD = os.environ.get("POSTRIDER_BUILD", os.path.abspath("build"))


class Passwd(unittest.TestCase):
    map_type = "hash"

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="passwd.")
        self.addCleanup(shutil.rmtree, self.dir)
        self.file = os.path.join(self.dir, "passwords")
        with open(os.path.join(self.dir, "main.cf"), "w", encoding="utf-8") as f:
            f.write(f"myhostname = a.example.com\ncommand_directory = {BUILD}/sbin\n"
                    f"smtpd_sasl_password_maps = {self.map_type}:{self.file}\n")

    def command(self, *args):
        return [f"{BUILD}/sbin/postrider", "-c", self.dir, "passwd", *args]

    def passwd(self, *args, text=None, status=0):
        p = subprocess.run(self.command(*args), input=text, capture_output=True, text=True, check=False)
        self.assertEqual(p.returncode, status, p.stderr)
        return p.stdout + p.stderr

    def test_life_of_a_user(self):
        self.assertIn("added", self.passwd("add", "Bob", text="secret\n"))
        self.assertIn("right", self.passwd("verify", "bob", text="secret\n"))
        self.assertIn("wrong password", self.passwd("verify", "bob", text="Secret\n", status=1))
        self.assertIn("no such user", self.passwd("verify", "ann", text="secret\n", status=1))
        self.assertIn("changed", self.passwd("-s", "scram-sha-256", "add", "bob", text="other\n"))
        self.assertIn("right", self.passwd("verify", "bob", text="other\n"))
        self.assertIn("added", self.passwd("add", "ann@example.com", text="x y\n"))
        listed = self.passwd("list")
        self.assertRegex(listed, r"bob +scram-sha-256\n")
        self.assertRegex(listed, r"ann@example.com +yescrypt\n")
        self.assertIn("deleted", self.passwd("del", "bob"))
        self.assertIn("no such user", self.passwd("del", "bob", status=1))
        self.assertIn("no such user", self.passwd("verify", "bob", text="other\n", status=1))
        self.assertIn("right", self.passwd("verify", "ann@example.com", text="x y\n"))

    def test_nobody_else_reads_it(self):
        self.passwd("add", "bob", text="secret\n")
        for name in os.listdir(self.dir):
            if name.startswith("passwords"):
                mode = stat.S_IMODE(os.stat(os.path.join(self.dir, name)).st_mode)
                self.assertEqual(mode & 0o077, 0, name)
        with open(self.file, encoding="utf-8") as f:
            self.assertNotIn("secret", f.read())
        # A group that was let in stays in; others never get in.
        os.chmod(self.file, 0o644)
        self.passwd("add", "ann", text="secret\n")
        self.assertEqual(stat.S_IMODE(os.stat(self.file).st_mode), 0o640)

    def test_what_else_stands_there_stays(self):
        with open(self.file, "w", encoding="utf-8") as f:
            f.write("# the users\neve\t!locked\n")
        self.passwd("add", "bob", text="secret\n")
        self.passwd("del", "bob")
        with open(self.file, encoding="utf-8") as f:
            self.assertEqual(f.read(), "# the users\neve\t!locked\n")

    def test_many_at_once(self):
        with_input = [subprocess.Popen(self.command("-s", "sha512", "add", f"user{i}"), stdin=subprocess.PIPE,
                                       stdout=subprocess.DEVNULL) for i in range(8)]
        for p in with_input:
            p.stdin.write(b"secret\n")
            p.stdin.close()
        for p in with_input:
            self.assertEqual(p.wait(), 0)
        self.assertEqual(len(self.passwd("list").splitlines()), 8)
        for i in range(8):
            self.passwd("verify", f"user{i}", text="secret\n")

    def test_refused(self):
        self.assertIn("no password", self.passwd("add", "bob", text="", status=1))
        self.assertIn("white space", self.passwd("add", "bob ann", text="secret\n", status=1))
        self.assertIn("none of", self.passwd("-s", "rot13", "add", "bob", text="secret\n", status=1))
        self.assertIn("usage", self.passwd("add", status=64))
        self.assertIn("usage", self.passwd("sing", "bob", status=64))
        self.assertIn("made from a file", self.passwd("-m", "ldap:x", "list", status=1))
        self.assertFalse(os.path.exists(self.file))

    def on_terminal(self, lines):
        """Types the lines as they are asked for; what the terminal showed, and the exit status."""
        pid, fd = pty.fork()
        if pid == 0:
            os.execv(self.command()[0], self.command("add", "bob"))
        shown = b""
        for line in lines:
            while not shown.endswith(b": "):
                shown += os.read(fd, 1000)
            os.write(fd, line.encode() + b"\n")
            shown += b"."
        try:
            while chunk := os.read(fd, 1000):
                shown += chunk
        except OSError:
            pass
        os.close(fd)
        return shown.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def test_terminal_does_not_echo(self):
        shown, status = self.on_terminal(["s3cr3t", "s3cr3t"])
        self.assertEqual(status, 0, shown)
        self.assertNotIn("s3cr3t", shown)
        self.passwd("verify", "bob", text="s3cr3t\n")
        shown, status = self.on_terminal(["s3cr3t", "s3cr3s"])
        self.assertEqual(status, 1)
        self.assertIn("differ", shown)


class PasswdText(Passwd):
    """The same without an index."""
    map_type = "texthash"


if __name__ == "__main__":
    unittest.main()
