"""Revokes tokens under load, and looks when each gateway refuses them.

    revoke.py ISSUER CLIENT SECRET HOST PATH COUNT GATEWAY… -- COMMAND…

COMMAND prints `grantor revocations --json`. Printed are the times from the answer to the revocation to the first refusal, for each
gateway. It fails when a token is let through after its gateway has acknowledged, or when one is not refused within five seconds.
"""

import http.client
import json
import subprocess
import sys
import threading
import time
import urllib.parse

split = sys.argv.index("--")
issuer, client, secret, host, path, count, *gateways = sys.argv[1:split]
command = sys.argv[split + 1 :]


def post(endpoint, **form):
    url = urllib.parse.urlsplit(issuer)
    connection = http.client.HTTPConnection(url.netloc, timeout=10)
    body = urllib.parse.urlencode({"client_id": client, "client_secret": secret, **form})
    connection.request("POST", f"{url.path}/protocol/openid-connect/{endpoint}", body, {"Content-Type": "application/x-www-form-urlencoded"})
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 200, (answer.status, text)
    return text


class Caller(threading.Thread):
    """Calls one gateway with one token until it is refused."""

    def __init__(self, gateway, token):
        super().__init__(daemon=True)
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(gateway).netloc, timeout=10)
        self.token, self.calls, self.refused = token, 0, None
        self.start()

    def status(self):
        self.connection.request("GET", path, headers={"Host": host, "Authorization": f"Bearer {self.token}"})
        answer = self.connection.getresponse()
        answer.read()
        return answer.status

    def run(self):
        while self.status() == 200:
            self.calls += 1
        self.refused = time.monotonic()


took = {gateway: [] for gateway in gateways}
calls = 0
for number in range(int(count)):
    token = json.loads(post("token", grant_type="client_credentials"))["access_token"]
    callers = [(gateway, Caller(gateway, token)) for gateway in gateways for _ in range(2)]
    while not all(caller.calls > 3 for _, caller in callers):
        assert all(caller.is_alive() for _, caller in callers), "a good token was refused"
        time.sleep(0.002)
    post("revoke", token=token)
    revoked = time.monotonic()
    for gateway, caller in callers:
        caller.join(5)
        assert caller.refused, f"{gateway} lets a revoked token through for five seconds"
        took[gateway].append(max(0, caller.refused - revoked))
        calls += caller.calls
    if number % 10 == 0:
        # Who has acknowledged lets nothing through.
        for _ in range(100):
            state = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            if len(state["gateways"]) == len(gateways) and all(one["behind"] == 0 for one in state["gateways"]):
                break
            time.sleep(0.05)
        else:
            sys.exit(f"not all gateways acknowledge: {state}")
        for gateway in gateways:
            caller = Caller(gateway, token)
            caller.join(5)
            assert caller.calls == 0, f"{gateway} let a token through that it has acknowledged as revoked"
for gateway, times in took.items():
    times.sort()
    at = lambda part: times[min(len(times) - 1, int(len(times) * part))] * 1000
    print(f"{gateway}: from the answer to the first refusal: median {at(0.5):.0f} ms, p99 {at(0.99):.0f} ms, most {at(1):.0f} ms")
print(f"{count} tokens revoked under load, {calls} calls let through before; none after its gateway had acknowledged")
