"""How long a start takes: from the command to the first token, and how much memory it takes."""

import http.client
import re
import shutil
import socket
import subprocess
import time
from urllib.parse import urlencode

from servers import Child, Failed, clean_environment, free_port

# The line that a first start prints, for a person to type.
CURL = re.compile(r"curl -s http://[^/]+(?P<path>/\S+) .*-d client_id=(?P<id>\S+) -d client_secret=(?P<secret>\S+)")


class Start(Child):
    """One start, as a person does it, but for the ports. Gets one token as soon as there is somebody to ask."""

    def __init__(self, binary, folder, known=None):
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        command = [str(binary), "serve", "--data", "data", "--listen", f"127.0.0.1:{self.port}"]
        command += ["--ops-listen", f"127.0.0.1:{free_port()}", "--gateway-listen", "off"]
        began = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if known else subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.pid = self.process.pid
        try:
            self.known = known or self.printed()
            self.token()
            self.milliseconds = 1000 * (time.perf_counter() - began)
            self.megabytes = self.memory()
        finally:
            self.stop()

    def printed(self):
        for line in self.process.stdout:
            if found := CURL.search(line):
                return found.groupdict()
        raise Failed("the first start printed no curl line")

    def token(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.sock = self.connected()
        form = {"grant_type": "client_credentials", "client_id": self.known["id"], "client_secret": self.known["secret"]}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", self.known["path"], urlencode(form), headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status != 200 or b"access_token" not in content:
            raise Failed(f"the first token: {answer.status} {content[:200]}")

    def connected(self):
        last = time.monotonic() + 30
        while time.monotonic() < last:
            try:
                return socket.create_connection(("127.0.0.1", self.port))
            except ConnectionRefusedError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.0002)
        raise Failed("the server did not start")


def measured(binary, folder, count, say):
    """First and second starts, each on a folder of its own."""
    results = {"first": [], "first_memory": [], "second": [], "second_memory": []}
    for number in range(count):
        place = folder / f"start-{number}"
        first = Start(binary, place)
        second = Start(binary, place, first.known)
        for name, one in (("first", first), ("second", second)):
            results[name].append(one.milliseconds)
            results[f"{name}_memory"].append(one.megabytes)
        shutil.rmtree(place)
    say(f"  {count} starts done")
    return results
