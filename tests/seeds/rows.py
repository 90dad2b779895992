"""The acceptance rows of seeds 0 (task API, K) and 1 (registry, R) that need a gateway and a service behind it."""

import base64
import hashlib
import hmac
import http.client
import http.server
import json
import os
import subprocess
import sys
import threading
import time
import urllib.parse

BASE, GATE, FOLDER, BINARY, CALLBACK_PORT = sys.argv[1:]
TASKS, REGISTRY = "tasks.test", "external-service-api-consent-02-main.test"
failures = 0


def split(url):
    return url.removeprefix("http://").split(":")


def request(url, method, path, headers=None, body=None):
    host, port = split(url)
    connection = http.client.HTTPConnection(host, int(port), timeout=15)
    connection.putrequest(method, path, skip_host="Host" in (headers or {}), skip_accept_encoding=True)
    for name, value in (headers or {}).items():
        for one in value if isinstance(value, list) else [value]:
            connection.putheader(name, one)
    data = body.encode() if isinstance(body, str) else body
    if data is not None:
        connection.putheader("Content-Length", str(len(data)))
    connection.endheaders(data)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    answer.text = text
    answer.json = lambda: json.loads(text)
    return answer


def token(realm, **form):
    body = urllib.parse.urlencode(form)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return request(BASE, "POST", f"/auth/realms/{realm}/protocol/openid-connect/token", headers, body)


def call(host, method, path, bearer=None, body=None, **headers):
    headers = {"Host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    if bearer is not None:
        headers["Authorization"] = f"Bearer {bearer}"
    if body is not None and "Content-Type" not in headers:
        headers["Content-Type"] = "application/json"
    return request(GATE, method, path, headers, json.dumps(body) if isinstance(body, (dict, list)) else body)


def grantor(*words):
    done = subprocess.run([BINARY, *words, "--data", f"{FOLDER}/data", "--json"], capture_output=True, text=True, cwd=f"{FOLDER}/run")
    if done.returncode:
        raise SystemExit(f"grantor {' '.join(words)}: {done.stderr}")
    return json.loads(done.stdout)


def check(row, what, holds):
    global failures
    if not holds:
        failures += 1
    print(("ok      " if holds else "FAILED  ") + row + "  " + what, flush=True)


def status(row, what, answer, *wanted):
    check(row, f"{what}: {answer.status}" + ("" if answer.status in wanted else f", not {wanted}: {answer.text[:200]}"), answer.status in wanted)
    return answer


def claims(jwt):
    part = jwt.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


class Callback(http.server.BaseHTTPRequestHandler):
    got, answers = [], []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.answers.pop(0) if self.answers else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def until(what, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.05)
    return False


def seed_0():
    login = {"grant_type": "password", "client_id": "kaizten-task-api", "password": "Passw0rd!"}
    tokens = token("kaizten", username="alice", **login).json()
    alice, refresh = tokens["access_token"], tokens["refresh_token"]
    bob = token("kaizten", username="bob", **login).json()["access_token"]
    bot = token("kaizten", grant_type="client_credentials", client_id="kaizten-bot", client_secret="test-secret-bot").json()
    status("K-02", "a token opens the API", call(TASKS, "GET", "/v1/tasks", alice), 200)
    answer = status("K-03", "no token", call(TASKS, "GET", "/v1/tasks"), 401)
    check("K-03", "a challenge without error", answer.headers["WWW-Authenticate"].startswith("Bearer") and "error=" not in answer.headers["WWW-Authenticate"])
    check("K-04", "iss, sub, aud, exp, iat, as numbers", all(name in claims(alice) for name in ("iss", "sub", "aud")) and isinstance(claims(alice)["exp"], int) and claims(alice)["exp"] - claims(alice)["iat"] == 300)
    check("K-05", "roles", "admin" in claims(alice)["realm_access"]["roles"] and "admin" not in claims(bob)["realm_access"]["roles"])
    answer = status("K-06", "another signature", call(TASKS, "GET", "/v1/tasks", alice[:-5] + "AAAAA"), 401)
    check("K-06", "invalid_token", 'error="invalid_token"' in answer.headers["WWW-Authenticate"])
    answer = call(TASKS, "GET", "/v1/tasks", alice)
    check("K-17", "no cookie; without the token again 401", "Set-Cookie" not in answer.headers and call(TASKS, "GET", "/v1/tasks").status == 401)
    order = {"name": "BAP1", "responseURL": f"http://127.0.0.1:{CALLBACK_PORT}/receive"}
    answer = status("K-18", "an algorithm is taken on", call(TASKS, "POST", "/v1/algorithms/BAP", alice, order), 202)
    task = answer.json()["id"]
    status("K-18", "its Location", call(TASKS, "GET", answer.headers["Location"], alice), 200)
    for what, path, body, kind, wanted in (
        ("text", "/v1/algorithms/BAP", "x", "text/plain", (415,)),
        ("a broken body", "/v1/algorithms/BAP", "{", "application/json", (400,)),
        ("an unknown algorithm", "/v1/algorithms/NOPE", "{}", "application/json", (404,)),
        ("no name", "/v1/algorithms/BAP", "{}", "application/json", (400, 422)),
    ):
        status("K-19", what, call(TASKS, "POST", path, alice, body, Content_Type=kind), *wanted)
    check("K-20", "the result is posted", until(lambda: Callback.got))
    path, headers, body = Callback.got[0]
    result = json.loads(body)
    check("K-20", "with id, status and signature", path == "/receive" and result["id"] == task and result["status"] == "COMPLETED")
    wanted = "sha256=" + hmac.new(b"test-secret-of-callbacks", body, hashlib.sha256).hexdigest()
    check("K-20", "signed", headers["x-task-signature"] == wanted)
    time.sleep(0.5)
    check("K-20", "exactly once", len(Callback.got) == 1)
    Callback.got.clear()
    Callback.answers[:] = [500, 500, 200]
    call(TASKS, "POST", "/v1/algorithms/BAP", alice, order)
    check("K-20", "tried again while the listener fails", until(lambda: len(Callback.got) == 3))
    time.sleep(0.5)
    check("K-20", "and not after it took it", len(Callback.got) == 3)
    for url in (
        "http://127.0.0.1:1/x", "http://127.0.0.1/x", "http://localhost/x", "http://10.0.0.1/x", "http://192.168.1.1/x",
        "http://169.254.169.254/latest/meta-data", "http://[::1]/x", "http://0.0.0.0/x", "http://2130706433/x", "http://0x7f.1/x",
        "http://[::ffff:127.0.0.1]/x", "file:///etc/passwd", "ftp://example.org/x", "x", "http://user:pw@example.org/x",
    ):
        answer = call(TASKS, "POST", "/v1/algorithms/BAP", alice, {"name": "x", "responseURL": url})
        check("K-21", f"{url}: {answer.status}", answer.status in (400, 422) and "responseURL" in answer.text)
    again = token("kaizten", grant_type="refresh_token", client_id="kaizten-task-api", refresh_token=refresh).json()
    check("K-23", "another token", claims(again["access_token"])["jti"] != claims(alice)["jti"])
    status("K-23", "which opens the API", call(TASKS, "GET", "/v1/tasks", again["access_token"]), 200)
    status("K-25", "a refresh token at the API", call(TASKS, "GET", "/v1/tasks", refresh), 401)
    check("K-26", "no refresh token for a bot", "refresh_token" not in bot and bot["refresh_expires_in"] == 0)
    status("K-26", "its token opens the API", call(TASKS, "GET", "/v1/tasks", bot["access_token"]), 200)
    answer = status("G-21", "a scope that is missing", call(TASKS, "POST", "/v1/algorithms/BAP", bot["access_token"], order), 403)
    check("G-21", "is named", 'scope="tasks:run"' in answer.headers["WWW-Authenticate"])
    ids = lambda who: {task["id"] for task in call(TASKS, "GET", "/v1/tasks", who).json()}
    check("K-18", "tasks are their owner's, an administrator sees all", task in ids(alice) and task not in ids(bob))
    status("K-18", "somebody else's task", call(TASKS, "GET", f"/v1/tasks/{task}", bob), 404)
    # K-22, K-27: a token that lives a second or two.
    grantor_short = token("kaizten", username="alice", **login).json()
    check("K-27", "expires_in is exp less now", abs(claims(grantor_short["access_token"])["exp"] - time.time() - grantor_short["expires_in"]) <= 2)


def seed_1():
    realm = "consent-02-external-system"
    get = lambda system, secret: token(realm, grant_type="client_credentials", client_id=system, client_secret=secret)
    df = lambda path, bearer, **more: call(REGISTRY, more.pop("method", "GET"), f"/api/gateway/data-factory/{path}", bearer, **more)
    bp = lambda bearer, body, **more: call(REGISTRY, "POST", "/api/gateway/business-process/api/start-bp", bearer, body, **more)
    system = grantor("external-system", "grant", "new-ext", "--realm", realm)
    secret = system["secret"]
    check("R-12", "a system is let in with a secret of its own", len(secret) >= 22)
    for name in ("new-ext", "New", "-x", "x_y", "a" * 33):
        done = subprocess.run([BINARY, "external-system", "grant", name, "--realm", realm, "--data", f"{FOLDER}/data"], capture_output=True)
        check("R-12", f"not {name}", done.returncode != 0)
    check("R-14", "a list shows no secret", secret not in json.dumps(grantor("external-system", "list", "--realm", realm)))
    xt = get("new-ext", secret).json()["access_token"]
    check("R-18, R-31", "one role", claims(xt)["realm_access"]["roles"] == ["trembita-invoker"])
    check("R-22", "the registry's claims, in Ukrainian", claims(xt)["drfo"] == "0" and claims(xt)["fullName"].startswith("Сервісний"))
    check("R-30", "azp, clientId, iss", claims(xt)["azp"] == claims(xt)["clientId"] == "new-ext" and claims(xt)["iss"].endswith(f"/realms/{realm}"))
    norole = get("norole-ext", "test-secret-norole").json()["access_token"]
    for what, answer in (("start-bp", call(REGISTRY, "POST", "/api/gateway/business-process/api/start-bp", None, {})), ("data-factory", df("count-units-in-parallel", None))):
        status("R-01", f"{what} without a token", answer, 401)
        check("R-01", "challenge and JSON", answer.headers["WWW-Authenticate"].startswith("Bearer") and "error" in answer.json())
    start = {"businessProcessDefinitionKey": "start-case", "startVariables": {"caseNo": "1", "note": None}}
    answer = status("R-34", "a process starts", bp(xt, start), 200)
    results = answer.json()["resultVariables"]
    check("R-34", "its results are texts or null", set(results) == {"code", "errors"} and isinstance(results["code"], str) and results["errors"] is None)
    answer = status("R-35", "an unknown process", bp(xt, {**start, "businessProcessDefinitionKey": "nope"}), 422)
    check("R-35", "its message", answer.json()["message"] == "No such business process nope is defined in trembita.process_definitions")
    answer = status("R-35", "a variable is missing", bp(xt, {**start, "startVariables": {"caseNo": "1"}}), 422)
    check("R-35", "its message", answer.json()["message"] == "No such input param note is defined in request for start-case")
    status("R-35", "a variable too many", bp(xt, {**start, "startVariables": {"caseNo": "1", "note": "n", "evil": 1}}), 200)
    status("R-35", "a broken body", bp(xt, "{"), 400)
    status("R-35", "no content type", bp(xt, "{}", Content_Type=""), 415)
    answer = status("R-32", "a system without the role", bp(norole, start), 403)
    body = answer.json()
    check("R-32", "its shape", body["code"] == "403" and body["message"] == "Access is denied" and body["traceId"])
    for value in (f"Token {xt}", "Bearer", f"Bearer {xt} b", "Basic eDp5", [f"Bearer {xt}", f"Bearer {xt}"]):
        answer = call(REGISTRY, "GET", "/api/gateway/data-factory/count-units-in-parallel", Authorization=value)
        check("R-33", f"{str(value)[:12]}…: {answer.status}", answer.status in (400, 401))
    status("R-33", "a token in the URL", df(f"count-units-in-parallel?access_token={xt}", None), 401)
    status("R-33", "bearer in small letters", call(REGISTRY, "GET", "/api/gateway/data-factory/count-units-in-parallel", Authorization=f"bearer {xt}"), 200)
    status("R-36", "another endpoint", call(REGISTRY, "POST", "/api/gateway/business-process/api/other", xt, {}), 404)
    answer = status("R-36", "another method", call(REGISTRY, "GET", "/api/gateway/business-process/api/start-bp", xt), 405)
    check("R-36", "Allow", answer.headers["Allow"] == "POST")
    for path in ("/api/../../admin", "/%2e%2e/x", "//x", "/x%2fy"):
        status("R-36", path, call(REGISTRY, "GET", f"/api/gateway/business-process{path}", xt), 400, 404)
    status("R-37", "an unknown family", call(REGISTRY, "GET", "/api/gateway/unknown/x", xt), 404)
    one, other = call(REGISTRY, "GET", "/api/gateway/unknown/x"), df("count-units-in-parallel", None)
    check("R-37", "without a token, what is there looks like what is not", one.status == other.status == 401)
    status("R-38", "an unknown host", call("evil.test", "GET", "/api/gateway/data-factory/count-units-in-parallel", xt), 404, 421)
    rows = status("R-39", "a search condition", df("count-units-in-parallel", xt), 200).json()
    check("R-39", "an array of rows", isinstance(rows, list) and len(rows) == 4)
    check("R-28", "50 calls with one token", all(df("count-units-in-parallel", xt).status == 200 for _ in range(50)))
    hidden, nosuch = df("hidden-sc", xt), df("nosuch-sc", xt)
    same = lambda answer: {name: value for name, value in answer.json().items() if name != "traceId"}
    check("R-40", "what is not exposed looks like what is not there", hidden.status == nosuch.status == 404 and same(hidden) == same(nosuch))
    model = open(f"{FOLDER}/registry.yaml").read()
    publish(model.replace("  hidden_sc:\n", "  hidden_sc:\n    external_system: true\n"))
    check("R-39, R-40", "it is exposed without a restart", until(lambda: df("hidden-sc", xt).status == 200))
    publish("conditions: [broken")
    time.sleep(0.2)
    status("R-39", "a model with a mistake leaves the old one", df("hidden-sc", xt), 200)
    publish(model)
    check("R-40", "and hidden again", until(lambda: df("hidden-sc", xt).status == 404))
    answer = status("R-41", "a role that nobody has", df("role-sc", xt), 403)
    check("R-41", "its code", answer.json()["code"] == "FORBIDDEN_OPERATION")
    status("R-41", "a condition without a rule", df("ruleless-sc", xt), 403)
    only = lambda query: [row["name"] for row in df(f"count-units-in-parallel?{query}", xt).json()]
    check("R-42", "equal", only("region=01") == ["Alpha", "Beta"])
    check("R-42", "contains, and its signs are no signs", only("name=lph") == ["Alpha"] and only("name=%25") == [])
    check("R-42", "between, in both spellings", only("unitsFrom=6&unitsTo=8") == ["Gamma"] and only("units_from=12") == ["Beta"])
    check("R-42", "an unknown parameter is ignored", len(only("nonsense=1")) == 4)
    check("R-42", "no SQL", only("region=01'%20OR%20'1'='1") == [])
    answer = status("R-42", "a bad type", df("count-units-in-parallel?unitsFrom=x", xt), 400)
    check("R-42", "names the field", answer.json()["code"] == "CLIENT_ERROR" and answer.json()["details"]["errors"][0]["field"] == "units_from")
    answer = status("R-42", "by a body", df("search/count-units-in-parallel", xt, method="POST", body={"region": "01"}), 200)
    check("R-42", "the same rows", [row["name"] for row in answer.json()] == ["Alpha", "Beta"])
    page = df("page-sc?pageNo=0&pageSize=2", xt).json()
    check("R-43", "a page", len(page["content"]) == 2 and (page["totalElements"], page["totalPages"], page["pageNo"], page["pageSize"]) == (4, 2, 0, 2))
    check("R-43", "offset and limit", len(df("count-units-in-parallel?limit=1&offset=1", xt).json()) == 1)
    check("R-43", "the model's cap", df("page-sc?pageSize=1000", xt).json()["pageSize"] == 10)
    check("R-43", "in", df("page-sc?region=02,03", xt).json()["totalElements"] == 2 and df("page-sc?region=", xt).json()["totalElements"] == 0)
    status("R-44", "a slash at the end", df("count-units-in-parallel/", xt), 404)
    for method in ("DELETE", "PUT"):
        status("R-44", method, df("count-units-in-parallel", xt, method=method), 405)
    bank = grantor("external-system", "grant", "bank", "--realm", realm, "--claim", "edrpou=1")
    bt = get("bank", bank["secret"]).json()["access_token"]
    own = lambda bearer, query="": [row["region"] for row in df(f"own-sc{query}", bearer).json()]
    check("X-21", "each system sees its own rows", own(xt) == ["01", "02"] and own(bt) == ["01", "03"] and own(bt, "?owner=0") == ["01", "03"])
    # a realm is bound to one registry.
    foreign = grantor("external-system", "grant", "test-ext", "--realm", "consent-01-external-system")
    ft = token("consent-01-external-system", grant_type="client_credentials", client_id="test-ext", client_secret=foreign["secret"]).json()["access_token"]
    status("R-06", "a token of another realm", df("count-units-in-parallel", ft), 401)
    # block, unblock, cancel. R-15: another secret.
    grantor("external-system", "block", "new-ext", "--realm", realm)
    status("R-16", "blocked: the token request", get("new-ext", secret), 401)
    status("R-16", "blocked: a token from before", df("count-units-in-parallel", xt), 401)
    grantor("external-system", "unblock", "new-ext", "--realm", realm)
    status("R-16", "unblocked", df("count-units-in-parallel", get("new-ext", secret).json()["access_token"]), 200)
    rotated = grantor("external-system", "rotate", "new-ext", "--realm", realm)["secret"]
    status("R-15", "the old secret", get("new-ext", secret), 401)
    status("R-15", "a token that the old secret brought", df("count-units-in-parallel", xt), 401)
    xt = get("new-ext", rotated).json()["access_token"]
    status("R-15", "the new one", df("count-units-in-parallel", xt), 200)
    grantor("external-system", "cancel", "new-ext", "--realm", realm)
    status("R-16", "cancelled", df("count-units-in-parallel", xt), 401)
    audit()


def publish(text):
    path = f"{FOLDER}/registry.yaml"
    with open(path + ".new", "w") as file:
        file.write(text)
    os.replace(path + ".new", path)


def audit():
    import sqlite3

    rows = sqlite3.connect(f"file:{FOLDER}/registry.db?mode=ro", uri=True)
    kinds = dict(rows.execute("SELECT kind, COUNT(*) FROM audit_event GROUP BY kind"))
    check("X-16", f"one row for each call: {kinds}", kinds.get("USER_ACTION", 0) > 50 and kinds.get("SECURITY_EVENT", 0) >= 3)
    stored = rows.execute("SELECT variables FROM cases").fetchall()
    check("R-35", "only declared variables were stored", stored and not any("evil" in row[0] for row in stored))


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(CALLBACK_PORT)), Callback)
threading.Thread(target=server.serve_forever, daemon=True).start()
seed_0()
seed_1()
print(f"{failures} rows failed" if failures else "all rows hold")
sys.exit(1 if failures else 0)
