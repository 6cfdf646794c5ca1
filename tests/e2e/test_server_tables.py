# SPDX-License-Identifier: ISC
"""Tables of PostgreSQL, MariaDB, OpenLDAP and Redis: by postmap, and by smtpd through proxymap."""

import os
import signal
import smtplib
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from instance import BUILD, Instance, free_port, wait_until  # noqa: E402
from servers import PASSWORD, MariaDB, OpenLDAP, PostgreSQL, Redis  # noqa: E402

# What an attacker puts into an address: nothing of it may reach beyond the key.
HOSTILE = ["o'hara@x.test", "' or '1'='1", "'; delete from t; --", "x\\' or 1=1 -- ", "\\", "\\'", "''", "%s", "%u@%d",
           "%1", "*", "*)(mail=*", "x)(|(mail=*", "(mail=*)", "\\2a", "a,dc=test", "\"a b\"@x.test",
           "$(id)@x.test", "`id`", "jörg@bücher.test", "名前@例え.テスト", "a\tb", "x' union select k from t -- ",
           "%25", "\\x27 or 1=1", "ʼ or 1=1", "a#b", " lead@x.test", "a+b=c;d<e>f@x.test", "x" * 900]


def dead_port():
    """Nobody listens there."""
    return free_port()


class Tables(unittest.TestCase):
    maxDiff = None

    server_class = None
    type = None

    @classmethod
    def setUpClass(cls):
        cls.server = cls.server_class()
        cls.addClassCleanup(cls.server.close)
        cls.server.start()
        cls.fill()

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="postrider-tables-")
        self.addCleanup(subprocess.run, ["rm", "-rf", self.dir])
        os.chmod(self.dir, 0o755)
        self.main_cf("")

    def main_cf(self, text):
        with open(self.dir + "/main.cf", "w") as f:
            f.write(text)

    def table(self, name="table", **settings):
        """A configuration file that only root can read; the spec."""
        path = f"{self.dir}/{name}.cf"
        with open(path, "w") as f:
            for key, value in {**self.settings(), **settings}.items():
                if value is not None:
                    f.write(f"{key} = {value}\n")
        os.chmod(path, 0o600)
        return f"{self.type}:{path}"

    def postmap(self, spec, key):
        return subprocess.run([BUILD + "/sbin/postmap", "-c", self.dir, "-q", key, spec], capture_output=True,
                              timeout=120)

    def lookup(self, spec, key):
        """The value, None when there is none; an error fails the test."""
        done = self.postmap(spec, key)
        self.assertEqual(done.stderr.decode(), "")
        self.assertIn(done.returncode, (0, 1))
        return done.stdout.decode().rstrip("\n") if done.returncode == 0 else None

    def error(self, spec, key):
        done = self.postmap(spec, key)
        self.assertEqual(done.stdout, b"")
        self.assertNotEqual(done.returncode, 0)
        text = done.stderr.decode()
        self.assertIn(spec, text)
        return text

    def check_hostile(self, spec):
        """Each key finds its own value and nothing else; one that is not there finds nothing."""
        for key in HOSTILE:
            self.assertIsNone(self.lookup(spec, key), key)
        for number, key in enumerate(HOSTILE):
            self.put(key.lower(), f"value{number}")
        for number, key in enumerate(HOSTILE):
            self.assertEqual(self.lookup(spec, key), f"value{number}", key)
        done = self.postmap(spec, b"\xff\xfe' or 1=1")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (1, b"", b""))

    # --- through proxymap ---

    def instance(self, main_cf, **options):
        mta = Instance({"mydestination": "localhost", "virtual_alias_domains": "x.test, y.test", **main_cf}, **options)
        self.addCleanup(mta.close)
        return mta.start()

    def rcpt(self, mta, address):
        client = smtplib.SMTP("127.0.0.1", mta.port, timeout=120)
        try:
            client.ehlo("client.test")
            client.mail("someone@far.test")
            code, text = client.rcpt(address)
            return code, text.decode()
        finally:
            client.close()

    def check_smtpd(self, spec, known, unknown, settings=None):
        """250, 550, and, with the server killed, 451 until it is back."""
        mta = self.instance({"virtual_alias_maps": spec, **(settings or {})})
        self.assertEqual(self.rcpt(mta, known)[0], 250, mta.log())
        self.assertEqual(self.rcpt(mta, unknown)[0], 550, mta.log())
        self.server.stop(signal.SIGKILL)
        try:
            for address in (known, unknown):
                code, text = self.rcpt(mta, address)
                self.assertEqual(code, 451, text + mta.log())
            mta.wait_log(f"warning: table {spec}: server")
        finally:
            self.server.start()
        wait_until(lambda: self.rcpt(mta, known)[0] == 250, 60, "recovery; log:\n" + mta.log())
        self.assertEqual(self.rcpt(mta, unknown)[0], 550, mta.log())
        return mta


class Postgres(Tables):
    server_class = PostgreSQL
    type = "pgsql"

    @classmethod
    def fill(cls):
        cls.server.sql("""
            CREATE TABLE t (k text, v text);
            CREATE TABLE several (k text, a text, b text);
            INSERT INTO t VALUES ('bob@x.test', 'one@y.test'), ('bob@x.test', ''), ('bob@x.test', NULL),
                ('bob@x.test', 'two@y.test'), ('root', 'root');
            INSERT INTO several VALUES ('bob@x.test', 'a1', 'b1'), ('bob@x.test', 'a2', 'b2');
            CREATE FUNCTION find(text) RETURNS text LANGUAGE sql AS $$SELECT 'found ' || $1$$;
        """)

    def settings(self):
        return {"hosts": f"127.0.0.1:{self.server.port}", "user": "boss", "password": PASSWORD, "dbname": "postgres",
                "query": "SELECT v FROM t WHERE k = '%s'"}

    def put(self, key, value):
        self.server.sql("INSERT INTO t VALUES (E'%s', '%s')" %
                        (key.replace("\\", "\\\\").replace("'", "\\'"), value))

    def test_queries_and_formats(self):
        self.assertEqual(self.lookup(self.table(), "bob@x.test"), "one@y.test,two@y.test")
        self.assertEqual(self.lookup(self.table(), "BOB@X.test"), "one@y.test,two@y.test")
        self.assertIsNone(self.lookup(self.table(), "nobody@x.test"))
        self.assertEqual(self.lookup(self.table(result_format="%u at %d for %U in %1, 100%%"), "bob@x.test"),
                         "one at y.test for bob in test, 100%,two at y.test for bob in test, 100%")
        parts = "SELECT '%s|%u|%d|%S|%U|%D|%1|%2|%%'"
        self.assertEqual(self.lookup(self.table(query=parts), "a.b@x.test"),
                         "a.b@x.test|a.b|x.test|a.b@x.test|a.b|x.test|test|x|%")
        self.assertIsNone(self.lookup(self.table(query="SELECT '%3'"), "a@x.test"))
        self.assertIsNone(self.lookup(self.table(query="SELECT '%d'"), "a"))
        self.assertIsNone(self.lookup(self.table(query="SELECT '%u'"), "@x.test"))
        several = self.table(query="SELECT a, b FROM several WHERE k = '%s'")
        self.assertEqual(self.lookup(several, "bob@x.test"), "a1,b1,a2,b2")
        self.assertEqual(self.lookup(self.table(domain="x.test"), "bob@x.test"), "one@y.test,two@y.test")
        self.assertIsNone(self.lookup(self.table(domain="y.test"), "bob@x.test"))
        self.assertIsNone(self.lookup(self.table(domain="x.test"), "root"))
        self.assertEqual(self.lookup(self.table(expansion_limit=2), "bob@x.test"), "one@y.test,two@y.test")
        self.assertIn("xpansion limit", self.error(self.table(expansion_limit=1), "bob@x.test"))

    def test_older_forms(self):
        self.assertEqual(self.lookup(self.table(query=None, select_function="find"), "a@x.test"), "found a@x.test")
        self.assertEqual(self.lookup(self.table(query=None, select_field="v", table="t", where_field="k",
                                                additional_conditions="AND v LIKE 'two%%'"), "bob@x.test"),
                         "two@y.test")
        self.main_cf("".join(f"users_{k} = {v}\n" for k, v in {**self.settings(), "password": PASSWORD}.items()))
        self.assertEqual(self.lookup("pgsql:users", "bob@x.test"), "one@y.test,two@y.test")

    def test_hosts(self):
        port, socket = self.server.port, self.server.run_dir
        for hosts in (f"inet:127.0.0.1:{port}", f"unix:{socket}:{port}", f"{socket}/.s.PGSQL.{port}",
                      f"postgresql://boss@127.0.0.1:{port}/postgres?sslmode=disable",
                      f"127.0.0.1:{dead_port()} 127.0.0.1:{dead_port()}, 127.0.0.1:{port}"):
            self.assertEqual(self.lookup_any(self.table(hosts=hosts), "root"), "root", hosts)
        self.assertIn("password authentication failed", self.error(self.table(password="wrong"), "root"))

    def lookup_any(self, spec, key):
        """A dead host is worth a warning."""
        done = self.postmap(spec, key)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode().rstrip("\n")

    def test_errors_name_the_table(self):
        self.assertIn("syntax error", self.error(self.table(query="SELEKT '%s'"), "root"))
        self.assertIn("gives no rows", self.error(self.table(query="CREATE TEMP TABLE \"%s\" (x int)"), "root"))
        self.assertIn("invalid query template", self.error(self.table(query="SELECT '%x'"), "root"))
        self.assertIn("no query", self.error(self.table(query=None), "root"))
        self.assertIn("not a number", self.error(self.table(expansion_limit="many"), "root"))
        self.assertIn("No such file", self.error("pgsql:/nowhere/x.cf", "root"))
        self.assertIn("Connection refused", self.error(self.table(hosts=f"127.0.0.1:{dead_port()}"), "root"))

    def test_hostile_keys(self):
        before = self.server.sql("SELECT count(*) FROM t")
        self.check_hostile(self.table())
        self.assertEqual(int(self.server.sql("SELECT count(*) FROM t")), int(before) + len(HOSTILE))

    def test_smtpd(self):
        # A name is looked up inside the sandbox.
        mta = self.check_smtpd(self.table(hosts=f"localhost:{self.server.port}"), "bob@x.test", "nobody@x.test")
        # A file that is rewritten is noticed; the connection through proxymap goes on.
        self.table(query="SELECT 'changed' WHERE '%s' = 'new@x.test'")
        wait_until(lambda: self.rcpt(mta, "new@x.test")[0] == 250, 30, "the new query")
        self.assertEqual(self.rcpt(mta, "bob@x.test")[0], 550)

    def test_mail_goes_where_the_table_says(self):
        self.put("team@x.test", "bin@localhost")
        mta = self.instance({"virtual_alias_maps": self.table(), "transport_maps": self.table(
            "transport", query="SELECT 'local:' FROM t WHERE k = '%s' AND k = 'bin@localhost'")})
        with mta.smtp() as s:
            s.sendmail("someone@far.test", ["bin@localhost"], "Subject: x\r\n\r\nhello\r\n")
        self.assertIn(b"hello", mta.wait_mail("bin")[0])

    def test_recipients_here(self):
        mta = self.instance({"local_recipient_maps": self.table()})
        self.assertEqual(self.rcpt(mta, "root@localhost")[0], 250)
        code, text = self.rcpt(mta, "nobody@localhost")
        self.assertEqual(code, 550, text)
        self.server.stop(signal.SIGKILL)
        try:
            self.assertEqual(self.rcpt(mta, "root@localhost")[0], 451)
            self.assertEqual(self.rcpt(mta, "nobody@localhost")[0], 451)
        finally:
            self.server.start()

    def test_one_slow_table_holds_up_no_other(self):
        slow = self.table("slow", timeout=30, domain="x.test",
                          query="SELECT v FROM t WHERE k = '%s' AND pg_advisory_xact_lock_shared(7) IS NOT NULL")
        mta = self.instance({"virtual_alias_maps": slow, "local_recipient_maps": self.table()})
        psql = subprocess.Popen([self.server.bin + "/psql", "-X", "-q", "-t", "-h", "127.0.0.1", "-p",
                                 str(self.server.port), "-U", "boss", "postgres"], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, env=dict(os.environ, PGPASSWORD=PASSWORD), text=True)
        self.addCleanup(psql.wait)
        self.addCleanup(psql.kill)
        psql.stdin.write("SELECT pg_advisory_lock(7);\n\\echo locked\n")
        psql.stdin.flush()
        while psql.stdout.readline().strip() != "locked":
            pass
        answers = []
        # More than the table has connections.
        threads = [threading.Thread(target=lambda: answers.append(self.rcpt(mta, "bob@x.test")[0]), daemon=True) for _ in range(12)]
        for t in threads:
            t.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        wait_until(lambda: int(self.server.sql(waiting)) == 8, 30, "eight that wait")
        self.assertEqual(self.rcpt(mta, "root@localhost")[0], 250, mta.log())
        self.assertEqual(answers, [])
        psql.stdin.close()
        psql.stdout.close()
        for t in threads:
            t.join()
        self.assertEqual(answers, [250] * 12, mta.log())

    def test_time_limit(self):
        slow = self.table(query="SELECT v FROM t, pg_sleep(20) WHERE k = '%s'", timeout=1)
        self.assertIn("no answer in time", self.error(slow, "root"))
        mta = self.instance({"virtual_alias_maps": slow})
        code, text = self.rcpt(mta, "bob@x.test")
        self.assertEqual(code, 451, text)
        mta.wait_log("no answer in time")

    def test_silent_server(self):
        """Stopped, it accepts and says nothing."""
        spec = self.table(timeout=1)
        self.server.send(signal.SIGSTOP)
        try:
            self.assertIn("no answer in time", self.error(spec, "root"))
        finally:
            self.server.send(signal.SIGCONT)

    def test_what_proxymap_serves(self):
        plain, other = self.table("plain"), self.table("other")
        # proxy: wants proxy_read_maps, whose default names the usual parameters.
        mta = self.instance({"virtual_alias_maps": "proxy:" + plain})
        self.assertEqual(self.rcpt(mta, "bob@x.test")[0], 250)
        mta = self.instance({"virtual_alias_maps": "proxy:" + plain, "proxy_read_maps": "proxy:" + other})
        self.assertEqual(self.rcpt(mta, "bob@x.test")[0], 451)
        mta.wait_log("which proxy_read_maps does not have")
        # Without it any that the configuration names.
        mta = self.instance({"virtual_alias_maps": plain, "proxy_read_maps": ""})
        self.assertEqual(self.rcpt(mta, "bob@x.test")[0], 250)

    def test_sandbox_and_death_of_proxymap(self):
        mta = self.instance({"virtual_alias_maps": self.table()})
        self.assertEqual(self.rcpt(mta, "bob@x.test")[0], 250)
        pid = self.pid_of(mta, "proxymap")
        with open(f"/proc/{pid}/status") as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        self.assertEqual(status["Seccomp"], "2")
        self.assertEqual(status["NoNewPrivs"], "1")
        self.assertEqual(int(status["CapEff"], 16), 0)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.rcpt(mta, "bob@x.test")[0] == 250, 60, "the next proxymap")
        self.assertNotEqual(self.pid_of(mta, "proxymap"), pid)

    def pid_of(self, mta, program):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline") as f:
                    if os.path.basename(f.read().split("\0")[0]) == program and \
                            mta.dir in open(f"/proc/{pid}/cmdline").read():
                        return int(pid)
            except OSError:
                pass
        raise AssertionError("no " + program)


class Maria(Tables):
    server_class = MariaDB
    type = "mysql"

    @classmethod
    def fill(cls):
        cls.server.sql("""
            CREATE DATABASE d CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
            CREATE TABLE d.t (k varchar(1000), v text);
            INSERT INTO d.t VALUES ('bob@x.test', 'one@y.test'), ('bob@x.test', 'two@y.test'), ('root', 'root');
            CREATE USER 'mail'@'%' IDENTIFIED BY 'secret''"\\\\%s';
            GRANT SELECT, EXECUTE ON d.* TO 'mail'@'%';
            CREATE PROCEDURE d.find(IN k0 varchar(1000)) SELECT v FROM t WHERE k = k0;
            CREATE PROCEDURE d.nothing(IN k0 varchar(1000)) SET @x = 1;
            CREATE PROCEDURE d.two(IN k0 varchar(1000)) BEGIN SELECT 1; SELECT 2; END;
        """.replace("BEGIN SELECT 1; SELECT 2; END;", "SELECT 1;"))

    def settings(self):
        return {"hosts": f"127.0.0.1:{self.server.port}", "user": "mail", "password": PASSWORD, "dbname": "d",
                "query": "SELECT v FROM t WHERE k = '%s'"}

    def put(self, key, value):
        self.server.sql("INSERT INTO t VALUES (CONVERT(X'%s' USING utf8mb4), '%s')" % (key.encode().hex(), value), "d")

    def test_queries(self):
        self.assertEqual(self.lookup(self.table(), "bob@x.test"), "one@y.test,two@y.test")
        self.assertEqual(self.lookup(self.table(result_format="[%s] %U"), "bob@x.test"),
                         "[one@y.test] bob,[two@y.test] bob")
        self.assertEqual(self.lookup(self.table(query="SELECT '%u|%d|%1|%2'"), "a@x.test"), "a|x.test|test|x")
        self.assertIsNone(self.lookup(self.table(), "nobody"))
        self.assertIn("xpansion limit", self.error(self.table(expansion_limit=1), "bob@x.test"))
        self.assertEqual(self.lookup(self.table(hosts="unix:" + self.server.socket), "root"), "root")
        self.main_cf("".join(f"users_{k} = {v}\n" for k, v in self.settings().items()))
        self.assertEqual(self.lookup("mysql:users", "root"), "root")

    def test_stored_procedures(self):
        self.assertEqual(self.lookup(self.table(query="CALL find('%s')"), "bob@x.test"), "one@y.test,two@y.test")
        self.assertIn("no result set", self.error(self.table(query="CALL nothing('%s')"), "root"))
        self.assertIsNone(self.lookup(self.table(query="CALL nothing('%s')", require_result_set="no"), "root"))

    def test_errors_and_hosts(self):
        self.assertIn("syntax", self.error(self.table(query="SELEKT '%s'"), "root"))
        self.assertIn("Access denied", self.error(self.table(password="wrong"), "root"))
        self.assertIn("server", self.error(self.table(hosts=f"127.0.0.1:{dead_port()}"), "root"))
        done = self.postmap(self.table(hosts=f"127.0.0.1:{dead_port()} 127.0.0.1:{self.server.port}"), "root")
        self.assertEqual(done.stdout, b"root\n", done.stderr)
        self.assertIn("no answer in time", self.error(self.table(query="SELECT sleep(20) + '%s'", timeout=1), "root"))

    def test_hostile_keys(self):
        before = self.server.sql("SELECT count(*) FROM t", "d")
        self.check_hostile(self.table())
        self.assertEqual(int(self.server.sql("SELECT count(*) FROM t", "d")), int(before) + len(HOSTILE))
        # Where the server takes no backslash for an escape, the library quotes otherwise.
        self.server.sql("SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES'")
        try:
            for number, key in enumerate(HOSTILE):
                self.assertEqual(self.lookup(self.table(), key), f"value{number}", key)
        finally:
            self.server.sql("SET GLOBAL sql_mode = DEFAULT")

    def test_smtpd(self):
        self.check_smtpd(self.table(hosts="unix:" + self.server.socket), "bob@x.test", "nobody@x.test")


class Directory(Tables):
    server_class = OpenLDAP
    type = "ldap"

    @classmethod
    def fill(cls):
        s = cls.server
        s.add(f"""dn: {s.base}
objectClass: dcObject
objectClass: organization
o: x
dc: example

dn: ou=x.test,{s.base}
objectClass: organizationalUnit
ou: x.test

""" + "".join(f"""dn: cn={name},ou=x.test,{s.base}
objectClass: person
objectClass: mailThing
cn: {name}
sn: {name}
mail: {name}@x.test
{more}
""" for name, more in {
            "bob": "maildrop: one@y.test\nmaildrop: two@y.test\n",
            "ann": "maildrop: ann@y.test\n",
            "team": f"member: cn=bob,ou=x.test,{s.base}\nmember: cn=ann,ou=x.test,{s.base}\n"
                    f"member: cn=gone,ou=x.test,{s.base}\nmemberaddr: extra@z.test\n",
            "outer": f"member: cn=team,ou=x.test,{s.base}\n",
            "round": f"member: cn=square,ou=x.test,{s.base}\nmemberaddr: r@z.test\n",
            "square": f"member: cn=round,ou=x.test,{s.base}\nmemberaddr: s@z.test\n",
            "search": f"memberurl: ldap:///ou=x.test,{s.base}?maildrop?sub?(maildrop=ann*)\n",
            "far": "maildrop: far@y.test\nmemberaddr: far@z.test\n"
                   f"member: cn=bob,ou=x.test,{s.base}\n",
        }.items()))

    def settings(self):
        return {"server_host": f"127.0.0.1:{self.server.port}", "search_base": self.server.base,
                "query_filter": "(mail=%s)", "bind_dn": "cn=boss," + self.server.base,
                "bind_pw": self.server.password()}

    number = 0

    def put(self, key, value):
        Directory.number += 1
        import base64
        self.server.add(f"""dn: cn=h{self.number},ou=x.test,{self.server.base}
objectClass: person
objectClass: mailThing
cn: h{self.number}
sn: h
sn:: {base64.b64encode(key.encode()).decode()}
maildrop: {value}

""")

    def test_attributes(self):
        self.assertEqual(self.lookup(self.table(), "bob@x.test"), "one@y.test,two@y.test")
        self.assertIsNone(self.lookup(self.table(), "nobody@x.test"))
        self.assertEqual(self.lookup(self.table(result_attribute="sn, maildrop", result_format="<%s>"), "ann@x.test"),
                         "<ann>,<ann@y.test>")
        self.assertEqual(self.lookup(self.table(result_filter="%u@%D"), "ann@x.test"), "ann@x.test")
        self.assertIn("xpansion limit", self.error(self.table(expansion_limit=1, size_limit=5), "bob@x.test"))

    def members(self, **settings):
        return self.table(result_attribute="memberaddr", special_result_attribute="member, memberurl",
                          leaf_result_attribute="maildrop", **settings)

    def values(self, spec, key):
        return sorted((self.lookup(spec, key) or "").split(","))

    def test_groups(self):
        self.assertEqual(self.values(self.members(), "team@x.test"),
                         ["ann@y.test", "extra@z.test", "one@y.test", "two@y.test"])
        # Groups that have each other end all the same.
        self.assertEqual(self.values(self.members(), "round@x.test"), ["r@z.test", "s@z.test"])
        self.assertEqual(self.values(self.members(), "search@x.test"), ["ann@y.test"])
        self.assertEqual(self.values(self.members(recursion_limit=1), "team@x.test")[0], "ann@y.test")
        self.assertIn("recursion_limit", self.error(self.members(recursion_limit=1), "outer@x.test"))
        self.assertEqual(self.values(self.members(recursion_limit=2), "outer@x.test"),
                         ["ann@y.test", "extra@z.test", "one@y.test", "two@y.test"])
        # leaf: not of what has members; terminal: alone.
        self.assertEqual(self.values(self.members(), "far@x.test"), ["far@z.test", "one@y.test", "two@y.test"])
        self.assertEqual(self.values(self.members(terminal_result_attribute="maildrop"), "far@x.test"), ["far@y.test"])

    def test_base_scope_and_limits(self):
        spec = self.table(search_base="ou=%d," + self.server.base, query_filter="cn=%u", scope="one")
        self.assertEqual(self.lookup(spec, "ann@x.test"), "ann@y.test")
        self.assertIsNone(self.lookup(spec, "ann@elsewhere.test"))
        self.assertIsNone(self.lookup(self.table(scope="one"), "ann@x.test"))
        self.assertIn("No such object", self.error(self.table(search_base="dc=wrong"), "ann@x.test"))
        self.assertIn("ize limit", self.error(self.table(query_filter="(|(cn=*)(mail=%s))", size_limit=2), "a@x.test"))
        self.assertIn("scope", self.error(self.table(scope="all"), "ann@x.test"))

    def test_hosts_bind_and_tls(self):
        port = self.server.port
        for hosts in (f"ldap://127.0.0.1:{port}", self.server.uri,
                      f"ldap://127.0.0.1:{dead_port()} ldap://127.0.0.1:{port}"):
            done = self.postmap(self.table(server_host=hosts), "ann@x.test")
            self.assertEqual(done.stdout, b"ann@y.test\n", done.stderr)
        self.assertEqual(self.lookup(self.table(server_host="127.0.0.1", server_port=port), "ann@x.test"),
                         "ann@y.test")
        self.assertIn("Invalid credentials", self.error(self.table(bind_pw="wrong"), "ann@x.test"))
        # Without a bind this server shows nothing.
        self.assertIn("No such object", self.error(self.table(bind="no"), "ann@x.test"))
        # SASL: who we are, as the kernel says.
        self.assertEqual(self.lookup(self.table(server_host=self.server.uri, bind="sasl", sasl_mechs="EXTERNAL",
                                                bind_dn=None, bind_pw=None), "ann@x.test"), "ann@y.test")
        tls = {"start_tls": "yes", "tls_require_cert": "yes"}
        self.assertEqual(self.lookup(self.table(tls_ca_cert_file=self.server.cert, **tls), "ann@x.test"), "ann@y.test")
        self.assertIn("start TLS", self.error(self.table(**tls), "ann@x.test"))
        self.assertIn("version = 3", self.error(self.table(version=2, **tls), "ann@x.test"))

    def test_old_names(self):
        self.main_cf("".join(f"dir_{k} = {v}\n" for k, v in self.settings().items()))
        self.assertEqual(self.lookup("ldap:dir", "ann@x.test"), "ann@y.test")

    def test_hostile_keys(self):
        self.check_hostile(self.table(query_filter="(sn=%s)"))
        for key in HOSTILE:
            self.assertIsNone(self.lookup(self.table(search_base="cn=%s," + self.server.base), key), key)

    def test_smtpd(self):
        # TLS inside the sandbox.
        self.check_smtpd(self.table(server_host=f"ldap://127.0.0.1:{self.server.port}", start_tls="yes",
                                    tls_require_cert="yes", tls_ca_cert_file=self.server.cert),
                         "bob@x.test", "nobody@x.test")


class RedisTables(Tables):
    server_class = Redis
    type = "redis"

    @classmethod
    def fill(cls):
        s = cls.server
        s.cli("SET", "alias:bob@x.test", "one@y.test")
        s.cli("SADD", "team:x.test", "a@y.test")
        s.cli("SADD", "team:x.test", "b@y.test")
        s.cli("HSET", "users", "bob", "yes")
        s.cli("SET", "number", "5")

    def settings(self):
        return {"hosts": f"127.0.0.1:{self.server.port}", "password": PASSWORD, "query": "GET alias:%s"}

    def put(self, key, value):
        self.server.cli("SET", "alias:" + key, value)

    def test_commands(self):
        self.assertEqual(self.lookup(self.table(), "bob@x.test"), "one@y.test")
        self.assertIsNone(self.lookup(self.table(), "nobody"))
        self.assertEqual(sorted(self.lookup(self.table(query="SMEMBERS team:%d"), "any@x.test").split(",")),
                         ["a@y.test", "b@y.test"])
        self.assertEqual(self.lookup(self.table(query="HGET users %u", result_format="%U: %s"), "bob@x.test"),
                         "bob: yes")
        self.assertEqual(self.lookup(self.table(query="STRLEN alias:%s"), "bob@x.test"), "10")
        self.assertIn("xpansion limit", self.error(self.table(query="SMEMBERS team:%d", expansion_limit=1), "a@x.test"))
        self.assertIsNone(self.lookup(self.table(domain="y.test"), "bob@x.test"))
        self.assertEqual(self.lookup(self.table(user="default", dbname=0), "bob@x.test"), "one@y.test")
        self.assertIsNone(self.lookup(self.table(dbname=3), "bob@x.test"))

    def test_errors_and_hosts(self):
        self.assertIn("WRONGPASS", self.error(self.table(password="wrong"), "bob@x.test"))
        self.assertIn("WRONGTYPE", self.error(self.table(query="SMEMBERS alias:%s"), "bob@x.test"))
        self.assertIn("refused", self.error(self.table(hosts=f"127.0.0.1:{dead_port()}"), "bob@x.test"))
        done = self.postmap(self.table(hosts=f"127.0.0.1:{dead_port()} unix:{self.server.socket}"), "bob@x.test")
        self.assertEqual(done.stdout, b"one@y.test\n", done.stderr)

    def test_hostile_keys(self):
        self.check_hostile(self.table())
        # A key is one word of the command, whatever is in it.
        for key in ("x\r\nFLUSHALL\r\n", "x y", "x\n"):
            self.put(key.lower(), "kept")
            self.assertEqual(self.lookup(self.table(), key), "kept")

    def test_smtpd_and_silence(self):
        mta = self.check_smtpd_again()
        self.server.send(signal.SIGSTOP)
        try:
            self.assertEqual(self.rcpt(mta, "bob@x.test")[0], 451)
            mta.wait_log("no answer in time")
        finally:
            self.server.send(signal.SIGCONT)
        wait_until(lambda: self.rcpt(mta, "bob@x.test")[0] == 250, 60, "recovery")

    def check_smtpd_again(self):
        # The data live in memory: they are put again into each new server.
        start = self.server.start
        self.server.start = lambda: (start(), self.fill())
        try:
            return self.check_smtpd(self.table(timeout=1), "bob@x.test", "nobody@x.test")
        finally:
            del self.server.start


del Tables

if __name__ == "__main__":
    unittest.main()
