# SPDX-License-Identifier: ISC
"""postmap and postalias beside Debian's: the same options on the same files give the same."""
import os
import shutil
import socketserver
import sqlite3
import subprocess
import tempfile
import threading
import unittest

BUILD = os.environ.get("POSTRIDER_BUILD", os.path.abspath("build"))
INDEXED = {"hash": ".db", "btree": ".db", "lmdb": ".lmdb", "cdb": ".cdb"}

SOURCE = """# a comment
plain one
Mixed Case  Value

"quoted key" two
x"y\\" z" three
long
  goes
# in between
\ton
only
key: looks like an alias
"open quote
mixed again
  # indented comment
last   trailing space   
\xfc not UTF-8
"""

PATTERNS = """/^(.*)-outgoing@(.*)$/ $1+$2
if /@example\\.com$/
!/^(postmaster|abuse)@/ not a role
if /^abuse/i
/./ lower case abuse
endif
endif
/a(b/ broken
/(a)b/ $2
!/(zzz)/ $1
/price/ $$5 ${1}
/(pr)ice/ $$5 ${1}$(1)
/empty/
%delim% with percent
endif
/nosuchflag/Q x
"""
PATTERN_KEYS = ["list-outgoing@dom", "bob@example.com", "postmaster@example.com", "abuse@example.com", "ABUSE@example.com",
                "ab", "price", "empty", "delim", "DELIM", "nosuchflag", "zz"]

NETWORKS = """1.2.3.4 host
1.2.3.0/24 net $1
1.2.4.1/24 host bits
2001:db8::/32 six
[::1] loop
if 10.0.0.0/8
!10.1.0.0/16 not ten one
endif
192.0.2.1
name x
!192.0.2.0/24 other
"""
NETWORK_KEYS = ["1.2.3.4", "1.2.3.5", "1.2.4.1", "2001:db8::1", "::1", "10.2.0.1", "10.1.0.1", "192.0.2.1", "8.8.8.8", "name",
                "::2"]

MESSAGE = b"""Subject: top
From: a@b
 continued
Content-Type: multipart/mixed; boundary="b1"

preamble
--b1
Content-Type: text/plain

text one
--b1
Content-Type: message/rfc822
X-Part: two

Subject: inner

inner text
--b1--
epilogue
"""


class SocketMap(socketserver.StreamRequestHandler):
    def handle(self):
        while True:
            length = b""
            while (c := self.rfile.read(1)) != b":":
                if not c:
                    return
                length += c
            name, key = self.rfile.read(int(length) + 1)[:-1].split(b" ", 1)
            answer = {b"yes": b"OK " + name + b" has it", b"broken": b"TEMP later", b"worse": b"PERM never",
                      b"huge": b"OK " + b"x" * 99000}.get(key, b"NOTFOUND ")
            raw = {b"no number": b"abc:OK x,", b"too long": b"100001:", b"negative": b"-1:", b"no comma": b"4:OK x;",
                   b"endless": b"1" * 100, b"gone": b"90:OK"}.get(key)
            self.wfile.write(raw or b"%d:%s," % (len(answer), answer))
            if raw:
                return


class TcpMap(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            answer = {b"yes": b"200 it%20is%25", b"two%20words": b"200 both", b"broken": b"400 later",
                      b"nonsense": b"hello"}.get(line.split()[1], b"500 no")
            self.wfile.write(answer + b"\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


class Postmap(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="postmap.")
        self.addCleanup(shutil.rmtree, self.dir)
        os.chmod(self.dir, 0o755)
        # Debian's takes a main.cf of its own.
        for name in ("ours", "theirs"):
            os.mkdir(f"{self.dir}/{name}")
            self.write(f"{name}/main.cf", "compatibility_level = 3.6\nmyhostname = a.example.com\nmaillog_file =\n")

    def write(self, name, text):
        path = f"{self.dir}/{name}"
        with open(path, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode("latin-1"))
        return path

    def run_one(self, program, args, stdin=b""):
        return subprocess.run([program, "-c", f"{self.dir}/{'ours' if BUILD in program else 'theirs'}", *args], input=stdin,
                              capture_output=True, cwd=self.dir, timeout=60, check=False)

    def ours(self, *args, stdin=b"", name="postmap"):
        return self.run_one(f"{BUILD}/sbin/{name}", args, stdin)

    def theirs(self, *args, stdin=b"", name="postmap"):
        return self.run_one(f"/usr/sbin/{name}", args, stdin)

    def same(self, *args, stdin=b"", name="postmap"):
        """Output and exit status; the text of messages is each one's own."""
        a, b = self.ours(*args, stdin=stdin, name=name), self.theirs(*args, stdin=stdin, name=name)
        self.assertEqual((a.returncode, a.stdout), (b.returncode, b.stdout), (args, a.stderr, b.stderr))
        return a

    def entries(self, spec, run, name="postmap"):
        done = run("-s", spec, name=name)
        self.assertEqual(done.returncode, 0, done.stderr)
        return sorted(line for line in done.stdout.splitlines() if not line.startswith(b"YP_LAST_MODIFIED"))

    # --- building ---

    def test_files_are_interchangeable(self):
        for kind, suffix in INDEXED.items():
            for options in ([], ["-N"], ["-n"], ["-f"], ["-w"], ["-r"], ["-u"]):
                with self.subTest(kind=kind, options=options):
                    path = self.write("map", SOURCE)
                    mine = self.ours(*options, f"{kind}:map")
                    self.assertEqual(mine.returncode, 0, mine.stderr)
                    keys = b"plain\nMixed\nmixed\n\"quoted key\"\nx\"y\\\" z\"\nlong\nonly\nkey:\nlast\nnone\n\xfc\n"
                    answers = self.theirs("-u", "-q", "-", f"{kind}:map", stdin=keys)
                    listed = self.entries(f"{kind}:map", self.ours)
                    if kind != "cdb":
                        self.assertEqual(self.entries(f"{kind}:map", self.theirs), listed)
                    os.unlink(path + suffix)
                    their = self.theirs(*options, f"{kind}:map")
                    self.assertEqual(their.returncode, 0, their.stderr)
                    # Postfix's cdb keeps both entries of a key with -w; the first is found.
                    if (kind, options) != ("cdb", ["-w"]):
                        self.assertEqual(self.entries(f"{kind}:map", self.ours), listed)
                    self.assertEqual(self.ours("-u", "-q", "-", f"{kind}:map", stdin=keys).stdout, answers.stdout)
                    self.assertEqual(self.ours("-fq", "Mixed", f"{kind}:map").stdout,
                                     self.theirs("-fq", "Mixed", f"{kind}:map").stdout)
                    os.unlink(path + suffix)

    def test_problems_name_file_and_line(self):
        self.write("map", SOURCE)
        said = self.ours("hash:map").stderr.decode("latin-1")
        for line, text in ((11, "expected format"), (12, "alias file"), (13, "unbalanced"), (14, "duplicate"), (17, "non-UTF-8")):
            self.assertRegex(said, f"map, line {line}: .*{text}")
        self.assertNotIn("duplicate", self.ours("-w", "hash:map").stderr.decode("latin-1"))
        self.assertNotIn("non-UTF-8", self.ours("-u", "hash:map").stderr.decode("latin-1"))

    def test_incremental(self):
        for kind in ("hash", "btree", "lmdb"):
            for program in (self.ours, self.theirs):
                with self.subTest(kind=kind):
                    self.write("map", "a 1\nb 2\n")
                    self.assertEqual(program(f"{kind}:map").returncode, 0)
                    self.same("-i", f"{kind}:map", stdin=b"b ignored\nc 3\n")
                    self.same("-q", "b", f"{kind}:map")
                    self.assertEqual(self.ours("-ir", f"{kind}:map", stdin=b"b new\n").returncode, 0)
                    self.assertEqual(self.same("-q", "-", f"{kind}:map", stdin=b"a\nb\nc\nd\n").stdout,
                                     b"a\t1\nb\tnew\nc\t3\n")
                    self.assertEqual(self.ours("-d", "A", f"{kind}:map").returncode, 0)
                    self.assertEqual(self.ours("-d", "A", f"{kind}:map").returncode, 1)
                    self.assertEqual(self.ours("-d", "-", f"{kind}:map", stdin=b"b\nnone\n").returncode, 0)
                    self.assertEqual(self.same("-s", f"{kind}:map").stdout, b"c\t3\n")
        self.same("-i", "hash:new", stdin=b"a 1\n")
        self.assertNotEqual(self.ours("-i", "cdb:map", stdin=b"a 1\n").returncode, 0)

    def test_rebuilding_is_atomic_and_keeps_owner_and_mode(self):
        for kind, suffix in INDEXED.items():
            path = self.write("map", "a 1\n")
            os.chmod(path, 0o640)
            self.ours(f"{kind}:map")
            self.assertEqual(os.stat(path + suffix).st_mode & 0o7777, 0o640)
            os.chmod(path + suffix, 0o604)
            if os.geteuid() == 0:
                os.chown(path + suffix, 1, 2)
            with open(path + suffix, "rb") as old:
                content = old.read()
                self.write("map", "a 2\nb 3\n")
                self.ours(f"{kind}:map")
                old.seek(0)
                self.assertEqual(old.read(), content)
            st = os.stat(path + suffix)
            self.assertEqual(st.st_mode & 0o7777, 0o604)
            if os.geteuid() == 0:
                self.assertEqual((st.st_uid, st.st_gid), (1, 2))
            self.assertEqual(sorted(n for n in os.listdir(self.dir) if n.startswith("map.")), ["map" + suffix])
            os.unlink(path + suffix)
            self.ours("-p", f"{kind}:map")
            self.assertEqual(os.stat(path + suffix).st_mode & 0o7777, 0o644)
            # What fails leaves the old one.
            self.assertEqual(self.ours("-F", f"{kind}:map").returncode, 0)
            os.unlink(path)
            self.assertEqual(self.ours(f"{kind}:map").returncode, 1)
            self.assertTrue(os.path.exists(path + suffix))
            os.unlink(path + suffix)

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_a_users_file_is_worked_on_as_that_user(self):
        os.mkdir(f"{self.dir}/home")
        os.chown(f"{self.dir}/home", 1, 1)
        path = self.write("home/map", "a 1\n")
        os.chown(path, 1, 1)
        self.ours("hash:home/map")
        self.assertEqual(os.stat(path + ".db").st_uid, 1)
        # A link that waits where the new file goes is not followed.
        self.write("victim", "mine")
        os.unlink(path + ".db")
        os.symlink(f"{self.dir}/victim", path + ".db")
        self.ours("hash:home/map")
        with open(f"{self.dir}/victim", encoding="ascii") as f:
            self.assertEqual(f.read(), "mine")

    def test_values_that_name_files(self):
        self.write("one", "first\n")
        self.write("two", b"second \xff")
        self.write("map", f"a {self.dir}/one\nb {self.dir}/one, {self.dir}/two\nc {self.dir}/none\n")
        for kind in INDEXED:
            self.assertEqual(self.ours("-F", f"{kind}:map").returncode, 0)
            for key in "abc":
                self.same("-q", key, f"{kind}:map")
                self.same("-F", "-q", key, f"{kind}:map")
        self.assertEqual(self.ours("-F", "-q", "b", "hash:map").stdout, b"first\n\nsecond \xff\n")

    def test_aliases(self):
        self.write("aliases", "root: bob\n\"a b\": c, d\n# x\nlist: one,\n  two\nowner-list: bob\nRoot: ann\nno colon\n"
                   "pipe: \"|prog a\"\n: x\nempty:\n")
        self.assertEqual(self.ours("hash:aliases", name="postalias").returncode, 0)
        listed = self.entries("hash:aliases", self.theirs, "postalias")
        self.assertEqual(self.entries("hash:aliases", self.ours, "postalias"), listed)
        said = self.ours("hash:aliases", name="postalias").stderr.decode()
        for line, text in ((7, "duplicate"), (8, "need name:value"), (10, "need name:value"), (11, "need name:value")):
            self.assertRegex(said, f"aliases, line {line}: .*{text}")
        self.same("-q", "root", "hash:aliases", name="postalias")
        self.same("-q", "a b", "hash:aliases", name="postalias")
        self.assertEqual(self.theirs("hash:aliases", name="postalias").returncode, 0)
        names = {line.split(b":")[0] for line in listed}
        self.assertEqual({line.split(b":")[0] for line in self.entries("hash:aliases", self.ours, "postalias")}, names)

    # --- asking ---

    def test_status_and_usage(self):
        self.write("map", "a 1\n")
        self.write("other", "b 2\n")
        for spec in ("map", "other"):
            self.ours(f"hash:{spec}")
        for args in (["-q", "a", "hash:map"], ["-q", "z", "hash:map"], ["-q", "b", "hash:map", "hash:other"], ["-q", "a", "map"],
                     ["-q", "", "hash:map"], ["-q", "a", "hash:none"], ["hash:none"], ["-q", "a", "nosuch:map"], ["-Z"],
                     ["cidr:map"], ["nosuch:map"], ["-s", "-q", "a", "hash:map"], ["-q", "a", "-d", "a", "hash:map"],
                     ["-d", "z", "hash:map"], ["-d", "z", "static:x"], ["-s", "static:x"], ["-m", "-q", "a", "hash:map"],
                     ["-q", "-", "hash:map", "hash:other"], ["-h", "-q", "a", "hash:map"], ["-q", "a", "regexp:none"]):
            self.same(*args)

    def test_patterns(self):
        self.write("patterns", PATTERNS)
        self.write("networks", NETWORKS)
        for kind, name, keys in (("regexp", "patterns", PATTERN_KEYS), ("pcre", "patterns", PATTERN_KEYS),
                                 ("cidr", "networks", NETWORK_KEYS)):
            for key in keys:
                self.same("-q", key, f"{kind}:{self.dir}/{name}")
        said = self.ours("-q", "x", f"pcre:{self.dir}/patterns").stderr.decode()
        for line in (8, 9, 10, 11, 13, 15, 16):
            self.assertIn(f"patterns, line {line}: ", said)

    def test_messages_as_keys(self):
        self.write("all", "/./ found\n")
        for options in (["-h"], ["-b"], ["-hb"], ["-hm"], ["-bm"], ["-hbm"]):
            self.same(*options, "-q", "-", f"regexp:{self.dir}/all", stdin=MESSAGE)

    def test_small_types(self):
        self.write("text", "a 1\nB 2\n")
        self.write("second", "1 one\n2 two\n")
        for args in (["a", f"texthash:{self.dir}/text"], ["b", f"texthash:{self.dir}/text"], ["c", f"texthash:{self.dir}/text"],
                     ["k", "inline:{k=v, {x = y z}}"], ["x", "inline:{k=v, {x = y z}}"], ["any", "static:{a b}"],
                     ["root", "unix:passwd.byname"], ["nobody-here", "unix:passwd.byname"],
                     ["a", f"unionmap:{{texthash:{self.dir}/text,static:x,inline:{{b=1}}}}"],
                     ["a", "unionmap:{static:x,fail:y}"], ["zz", "unionmap:{inline:{a=1}}"],
                     ["a", f"pipemap:{{texthash:{self.dir}/text,texthash:{self.dir}/second}}"],
                     ["c", f"pipemap:{{texthash:{self.dir}/text,texthash:{self.dir}/second}}"],
                     ["a", "pipemap:{inline:{a=b},fail:x}"], ["x", "randmap:{only}"], ["x", "randmap:"], ["x", "unionmap:{}"],
                     ["HOME", "environ:x"], ["NONE_SUCH", "environ:x"], ["x", "fail:y"]):
            if args[1] == "unix:passwd.byname":
                a, b = (run("-q", *args) for run in (self.ours, self.theirs))
                self.assertEqual((a.returncode, a.stdout.split(b":")[2:]), (b.returncode, b.stdout.split(b":")[2:]))
            else:
                self.same("-q", *args)
        os.environ["POSTMAP_TEST"] = os.environ["postmap_test"] = "from outside"
        self.assertEqual(self.ours("-q", "POSTMAP_test", "environ:x").stdout, b"from outside\n")
        self.assertEqual(self.ours("-f", "-q", "POSTMAP_TEST", "environ:x").stdout, b"from outside\n")
        seen = {self.ours("-q", "x", "randmap:{a, b}").stdout for _ in range(40)}
        self.assertEqual(seen, {b"a\n", b"b\n"})

    def test_sqlite(self):
        with sqlite3.connect(f"{self.dir}/db") as db:
            db.execute("CREATE TABLE alias (name TEXT, target TEXT, number INTEGER)")
            db.executemany("INSERT INTO alias VALUES (?, ?, ?)",
                           [("bob@x.test", "robert", 1), ("bob@x.test", "bobby", 2), ("o'hara@x.test", "ann", 3), ("n@x.test", None, 4)])
        db.close()
        path = self.write("cf", f"dbpath = {self.dir}/db\nquery = SELECT target FROM alias WHERE name = '%s'\ndomain = x.test\n")
        for key in ("bob@x.test", "BOB@x.test", "o'hara@x.test", "none@x.test", "n@x.test", "bob@y.test", "' OR 1=1 --@x.test"):
            self.same("-q", key, f"sqlite:{path}")
        for text in (f"dbpath = {self.dir}/none\nquery = SELECT 1\n", f"dbpath = {self.dir}/db\nquery = SELECT nothing\n",
                     f"dbpath = {self.dir}/cf\nquery = SELECT 1 FROM x\n"):
            path = self.write("bad", text)
            done = self.ours("-q", "a@x.test", f"sqlite:{path}")
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"sqlite:{path}".encode(), done.stderr)
        # It cannot be made to write.
        path = self.write("bad", f"dbpath = {self.dir}/db\nquery = DELETE FROM alias\n")
        self.assertEqual(self.ours("-q", "a@x.test", f"sqlite:{path}").returncode, 1)
        with sqlite3.connect(f"{self.dir}/db") as db:
            self.assertEqual(db.execute("SELECT count(*) FROM alias").fetchone(), (4,))
        db.close()

    def serve(self, handler):
        server = Server(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server.server_address[1]

    def test_socketmap_and_tcp(self):
        spec = f"socketmap:inet:127.0.0.1:{self.serve(SocketMap)}:name"
        for key in ("yes", "no", "broken", "worse", "huge"):
            self.same("-q", key, spec)
        self.assertIn(b"later", self.ours("-q", "broken", spec).stderr)
        for key in ("no number", "too long", "negative", "no comma", "endless", "gone"):
            done = self.ours("-q", key, spec)
            self.assertEqual((done.returncode, done.stdout), (1, b""), key)
            self.assertIn(f"table {spec}: server".encode(), done.stderr)
        spec = f"tcp:127.0.0.1:{self.serve(TcpMap)}"
        for key in ("yes", "no", "two words", "broken"):
            self.same("-q", key, spec)
        self.assertIn(spec.encode(), self.ours("-q", "nonsense", spec).stderr)
        self.assertIn(b"Connection refused", self.ours("-q", "yes", "tcp:127.0.0.1:1").stderr)

    def test_types_that_are_built_in(self):
        listed = subprocess.run([f"{BUILD}/sbin/postconf", "-c", f"{self.dir}/ours", "-m"], capture_output=True, text=True,
                                check=True).stdout.split()
        self.assertEqual(listed, sorted(listed))
        self.assertLessEqual({"btree", "cdb", "cidr", "environ", "fail", "hash", "inline", "lmdb", "pcre", "pipemap", "proxy",
                              "randmap", "regexp", "socketmap", "sqlite", "static", "tcp", "texthash", "unionmap", "unix"},
                             set(listed))

    def test_damage_is_an_error(self):
        self.write("map", "".join(f"key{i} value{i}\n" for i in range(3000)))
        for kind, suffix in INDEXED.items():
            self.ours(f"{kind}:map")
            path = f"{self.dir}/map{suffix}"
            os.truncate(path, os.stat(path).st_size // 3)
            done = self.ours("-q", "-", f"{kind}:map", stdin=b"".join(b"key%d\n" % i for i in range(3000)))
            self.assertEqual(done.returncode, 1, kind)
            self.assertIn(f"table {kind}:map".encode(), done.stderr)


if __name__ == "__main__":
    unittest.main()
