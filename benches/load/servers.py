"""The servers under test: Grantor, the bare one that it is measured against, and Keycloak on demand."""

import atexit
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target")
ORACLE = Path(os.environ.get("GRANTOR_ORACLE") or REPOSITORY.parent / "shared" / "oracle")

# Not the port of the oracle's own Keycloak, which may run for something else.
KEYCLOAK_PORT = 8281


class Failed(Exception):
    """Something that the person who measures has to see to."""


def pinned(core):
    """The beginning of a command that is to stay on one core."""
    return [] if core is None or shutil.which("taskset") is None else ["taskset", "-c", str(core)]


def free_port():
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return each.getsockname()[1]


def clean_environment():
    """Settings of the person who measures must not change what is measured."""
    ours = ("GRANTOR_", "KC_", "KEYCLOAK_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def call(url, form=None, headers=None, body=None, method=None):
    """One request; gives the status and the answer, read as JSON where it is."""
    data = urllib.parse.urlencode(form).encode() if form is not None else body
    request = urllib.request.Request(url, data=data, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            status, content = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, content = error.code, error.read()
    try:
        return status, json.loads(content)
    except ValueError:
        return status, content.decode(errors="replace")


class Server:
    """A running server: where it is, and what it uses."""

    base: str
    pid: int

    def processes(self):
        """The process and all that it started."""
        parents = {}
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
            except OSError:
                pass
        found = [self.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def memory(self):
        """MB in memory."""
        total = 0
        for pid in self.processes():
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            rss = re.search(r"VmRSS:\s+(\d+) kB", status)
            total += int(rss[1]) if rss else 0
        return total / 1024

    def cpu_seconds(self):
        ticks = 0
        for pid in self.processes():
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


class Child(Server):
    """A server that this program started."""

    def launch(self, command, folder, environment=None):
        folder.mkdir(parents=True, exist_ok=True)
        # Its log lines are written, as they are in production, and thrown away.
        self.command, self.folder, self.environment = command, folder, environment or clean_environment()
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(
            command, cwd=folder, env=self.environment, stdin=quiet, stdout=quiet, stderr=quiet
        )
        self.pid = self.process.pid
        atexit.register(self.stop)

    def await_answer(self, url):
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(url, timeout=5):
                    return self
            except urllib.error.HTTPError as error:
                # It answers, which is enough for a server without a page for health.
                if error.code in (404, 405):
                    return self
            except OSError:
                pass
            time.sleep(0.05)
        self.stop()
        again = subprocess.run(["timeout", "3", *self.command], cwd=self.folder, env=self.environment, capture_output=True, text=True)
        raise Failed(f"{self.command[0]} did not get ready: {again.stderr[-2000:]}")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Grantor(Child):
    """Grantor on an empty folder, or on an empty PostgreSQL, with the realms of `files`."""

    def __init__(self, binary, folder, files, core=None, database=None, log_level=None):
        if not binary.is_file():
            raise Failed(f"{binary} is not there; build it: cargo build --release, or run.py --build")
        environment = clean_environment()
        environment |= {"GRANTOR_BOOTSTRAP_ADMIN_USERNAME": "admin", "GRANTOR_BOOTSTRAP_ADMIN_PASSWORD": "test-password-admin"}
        if database:
            environment["GRANTOR_DATABASE_URL"] = database
        if log_level:
            environment["GRANTOR_LOG_LEVEL"] = log_level
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "run").mkdir(parents=True)
        data = str(folder / "data")
        load = [str(binary), "realm", "import", *map(str, files), "--data", data]
        done = subprocess.run(load, cwd=folder / "run", env=environment, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"the realms were not imported: {done.stderr or done.stdout}")
        port, ops = free_port(), free_port()
        self.base = f"http://127.0.0.1:{port}"
        serve = [str(binary), "serve", "--data", data, "--listen", f"127.0.0.1:{port}"]
        serve += ["--ops-listen", f"127.0.0.1:{ops}", "--gateway-listen", "off"]
        self.launch([*pinned(core), *serve], folder / "run", environment)
        self.await_answer(f"http://127.0.0.1:{ops}/health/ready")


class Bare(Child):
    """The minimal handler of `bare/`."""

    def __init__(self, binary, folder, core=None):
        port = free_port()
        self.binary, self.core, self.base = binary, core, f"http://127.0.0.1:{port}"
        self.launch([*pinned(core), str(binary), "serve", str(port)], folder)
        self.await_answer(f"{self.base}/fixed")

    def signatures(self, algorithm, seconds):
        """Signatures per second, without HTTP, on the same core."""
        command = [*pinned(self.core), str(self.binary), "rate", algorithm, str(seconds)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds * 2 + 30).stdout)


class Keycloak(Server):
    """The real one, by the oracle's script, with the same realms."""

    def __init__(self, files, core=None):
        script = ORACLE / "keycloak"
        if not script.is_file():
            raise Failed(f"the oracle is missing: no keycloak in {ORACLE} (GRANTOR_ORACLE names its folder)")
        self.script, port = script, str(KEYCLOAK_PORT)
        command = [*pinned(core), str(script), "--port", port, "--admin", "admin:test-password-admin"]
        started = subprocess.run(command, env=clean_environment(), stdout=subprocess.PIPE, text=True)
        if started.returncode:
            raise Failed("Keycloak did not start")
        self.base, pid = started.stdout.split()
        self.pid = int(pid)
        for file in files:
            realm = json.loads(Path(file).read_text())
            headers = {"Authorization": f"Bearer {self.administrator()}", "Content-Type": "application/json"}
            call(f"{self.base}/admin/realms/{realm['realm']}", headers=headers, method="DELETE")
            status, answer = call(f"{self.base}/admin/realms", headers=headers, body=json.dumps(realm).encode())
            if status != 201:
                raise Failed(f"Keycloak did not take realm {realm['realm']}: {status} {answer}")

    def administrator(self):
        form = {"grant_type": "password", "client_id": "admin-cli", "username": "admin", "password": "test-password-admin"}
        status, answer = call(f"{self.base}/realms/master/protocol/openid-connect/token", form)
        if status != 200:
            raise Failed(f"Keycloak's administrator gets no token: {status} {answer}")
        return answer["access_token"]

    def stop(self):
        subprocess.run([str(self.script), "--stop", "--port", str(KEYCLOAK_PORT)], stdout=subprocess.DEVNULL)


def postgres(core):
    """A throw-away PostgreSQL; it ends with this program. It is kept off the server's core."""
    script = REPOSITORY / "tests" / "oracle" / "postgres.sh"
    started = subprocess.run([*pinned(core), str(script), str(os.getpid())], capture_output=True, text=True)
    if started.returncode:
        raise Failed(f"PostgreSQL did not start: {started.stderr.strip()}")
    return started.stdout.strip()
