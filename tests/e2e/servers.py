# SPDX-License-Identifier: ISC
"""Database and directory servers from Debian for tests: data in a temporary folder, stopped by pid."""

import glob
import os
import shutil
import signal
import socket
import subprocess
import tempfile

from instance import free_port, wait_until

PASSWORD = "secret'\"\\%s"


class Server:
    """user: who runs it when the test is root."""
    user = None

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="postrider-server-")
        os.chmod(self.dir, 0o755)
        self.data = os.path.join(self.dir, "data")
        os.mkdir(self.data)
        self.run_dir = os.path.join(self.dir, "run")
        os.mkdir(self.run_dir)
        if self.as_user():
            shutil.chown(self.data, self.user)
            shutil.chown(self.run_dir, self.user)
        self.port = free_port()
        self.process = None
        self.log_path = os.path.join(self.dir, "log")

    def as_user(self):
        return ["setpriv", "--reuid", self.user, "--regid", self.user, "--clear-groups"] \
            if self.user and os.getuid() == 0 else []

    def run(self, *command, stdin=None, as_user=False):
        done = subprocess.run([*(self.as_user() if as_user else []), *command], input=stdin, capture_output=True,
                              timeout=120, cwd=self.dir)
        if done.returncode != 0:
            raise AssertionError(f"{command}: {done.stderr.decode()} {done.stdout.decode()}")
        return done.stdout

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*self.as_user(), *self.command()], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, cwd=self.dir)
        wait_until(self.ready, 60, f"{type(self).__name__}; log:\n" + self.log())
        return self

    def ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{type(self).__name__} ended:\n" + self.log())
        return self.answers()

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
            return True
        except OSError:
            return False

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()[-4000:]

    def send(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.send(number)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def close(self):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


class PostgreSQL(Server):
    user = "postgres"

    def __init__(self):
        super().__init__()
        self.bin = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        pwfile = os.path.join(self.run_dir, "password")
        with open(pwfile, "w") as f:
            f.write(PASSWORD + "\n")
        os.chmod(pwfile, 0o644)
        self.run(self.bin + "/initdb", "-D", self.data, "-N", "-U", "boss", "-A", "scram-sha-256", "-E", "UTF8",
                 "--locale=C", "--pwfile", pwfile, as_user=True)

    def command(self):
        return [self.bin + "/postgres", "-D", self.data, "-p", str(self.port), "-k", self.run_dir,
                "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "shared_buffers=16MB",
                "-c", "log_statement=all"]

    def sql(self, text, database="postgres"):
        env = dict(os.environ, PGPASSWORD=PASSWORD)
        done = subprocess.run([self.bin + "/psql", "-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1",
                               "-p", str(self.port), "-U", "boss", database], input=text.encode(), env=env,
                              capture_output=True, timeout=60)
        if done.returncode != 0:
            raise AssertionError(done.stderr.decode())
        return done.stdout.decode()

    def answers(self):
        try:
            return self.sql("SELECT 1") == "1\n"
        except AssertionError:
            return False

    def stop(self, number=signal.SIGINT):
        """A fast shutdown; or, killed, with the children that then end by themselves."""
        super().stop(number)


class MariaDB(Server):
    user = "mysql"

    def __init__(self):
        super().__init__()
        self.socket = os.path.join(self.run_dir, "socket")
        self.run("mariadb-install-db", "--no-defaults", "--datadir=" + self.data, "--skip-test-db",
                 "--auth-root-authentication-method=normal", as_user=True)

    def command(self):
        return ["mariadbd", "--no-defaults", "--datadir=" + self.data, "--socket=" + self.socket,
                f"--port={self.port}", "--bind-address=127.0.0.1", "--innodb-buffer-pool-size=16M",
                "--pid-file=" + self.run_dir + "/pid", "--innodb-flush-log-at-trx-commit=2", "--skip-log-bin"]

    def sql(self, text, database=None):
        return self.run("mariadb", "--no-defaults", "--socket=" + self.socket, "-u", "root", "-N", "-B",
                        *([database] if database else []), stdin=text.encode()).decode()

    def answers(self):
        try:
            return self.sql("SELECT 1") == "1\n"
        except AssertionError:
            return False


class OpenLDAP(Server):
    """Base dc=example,dc=test; cn=boss may do everything; reading needs a bind."""
    base = "dc=example,dc=test"

    def __init__(self, options=""):
        super().__init__()
        self.uri = "ldapi://" + self.run_dir.replace("/", "%2F") + "%2Fldapi"
        subject = "/CN=localhost"
        self.cert, self.key = self.dir + "/cert.pem", self.dir + "/key.pem"
        self.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", subject,
                 "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", self.key, "-out", self.cert)
        with open(self.dir + "/slapd.conf", "w") as f:
            f.write(f"""
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
attributetype ( 1.3.6.1.4.1.4203.666.1.100 NAME 'maildrop' SUP mail )
attributetype ( 1.3.6.1.4.1.4203.666.1.101 NAME 'memberaddr' SUP mail )
attributetype ( 1.3.6.1.4.1.4203.666.1.102 NAME 'memberurl' SUP labeledURI )
objectclass ( 1.3.6.1.4.1.4203.666.3.100 NAME 'mailThing' SUP top AUXILIARY
  MAY ( mail $ maildrop $ memberaddr $ memberurl $ member ) )
pidfile {self.run_dir}/pid
TLSCertificateFile {self.cert}
TLSCertificateKeyFile {self.key}
allow bind_anon_cred
{options}
database mdb
directory {self.data}
suffix "{self.base}"
rootdn "cn=boss,{self.base}"
rootpw "{self.password()}"
access to attrs=userPassword by anonymous auth by * none
access to * by users read by * none
""")

    @staticmethod
    def password():
        return "secret'%s"

    def command(self):
        return ["slapd", "-d", "0", "-f", self.dir + "/slapd.conf", "-h", f"ldap://127.0.0.1:{self.port} {self.uri}"]

    def add(self, ldif):
        self.run("ldapadd", "-x", "-H", f"ldap://127.0.0.1:{self.port}", "-D", "cn=boss," + self.base, "-w",
                 self.password(), stdin=ldif.encode())


class Redis(Server):
    def __init__(self):
        super().__init__()
        self.socket = self.run_dir + "/redis"

    def command(self):
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        return [program, "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", self.socket, "--save", "",
                "--dir", self.data, "--requirepass", PASSWORD]

    def cli(self, *words):
        """One command in RESP, so that any byte can be in a word; the raw reply."""
        with socket.create_connection(("127.0.0.1", self.port), 30) as s:
            stream = s.makefile("rwb")
            for command in (["AUTH", PASSWORD], words):
                stream.write(b"*%d\r\n" % len(command))
                for word in command:
                    word = word if isinstance(word, bytes) else word.encode()
                    stream.write(b"$%d\r\n%s\r\n" % (len(word), word))
                stream.flush()
                reply = stream.readline()
                if reply.startswith(b"-"):
                    raise AssertionError(reply.decode())
            return reply
