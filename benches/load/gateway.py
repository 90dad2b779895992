#!/usr/bin/env python3
"""Measures the gateway: calls that are handed on, with and without a token, against nginx and HAProxy.

    cargo build --release
    benches/load/gateway.py                                  # about two minutes
    benches/load/gateway.py --write docs/performance.md

Each proxy has one core to itself; the load generator and a minimal upstream (nginx that answers at once) share another. All
proxies are measured in turns, round by round, so that a slow minute is slow for all. What counts is the ratio.

- nginx, plain: `proxy_pass` with connections that are kept, and a line in the log for each call, as Grantor writes one.
- plain: a public rule of Grantor's gateway. The same token is sent along, and not looked at.
- enforced, token seen before: signature, times, audience, client, revocations and role; the signature from memory.
- enforced, first sight: the same with `remembered_tokens = 0`, so that every call costs an RS256 verification.
- HAProxy, jwt_verify: the RS256 signature, `exp` and `iss`, at every call; nothing else.

Needs Linux, wrk, nginx and HAProxy (Debian: wrk nginx-light haproxy), curl. Exit codes: 0 measured, 1 failed, 3 a tool is missing.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from statistics import median

sys.dont_write_bytecode = True
from servers import TARGET

PROXY_CORE, OTHER_CORE = "0", "1"
UPSTREAM, NGINX, HAPROXY = 19201, 19202, 19203
MARKS = ("<!-- gateway -->", "<!-- /gateway -->")

NGINX_CONF = """worker_processes 1; pid {folder}/{name}.pid; error_log {folder}/{name}.err; daemon off;
events {{ worker_connections 4096; }}
http {{ access_log {log}; keepalive_requests 1000000000; keepalive_timeout 300;
  client_body_temp_path {folder}/{name}-b; proxy_temp_path {folder}/{name}-p; fastcgi_temp_path {folder}/{name}-f;
  uwsgi_temp_path {folder}/{name}-u; scgi_temp_path {folder}/{name}-s;
  {body}
}}
"""
UPSTREAM_BODY = """server {{ listen 127.0.0.1:{upstream} backlog=4096;
  location / {{ default_type application/json; return 200 '{{"status":"ok","orders":[1,2,3]}}'; }} }}"""
PROXY_BODY = """upstream u {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{nginx} backlog=4096; location / {{ proxy_pass http://u; proxy_http_version 1.1;
    proxy_set_header Connection ""; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $host; }} }}"""
HAPROXY_CONF = """global
  nbthread 1
  maxconn 4096
  tune.bufsize 32768
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 3s
  http-reuse always
frontend f
  bind 127.0.0.1:{haproxy} backlog 4096
  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')
  http-request set-var(txn.iss) var(txn.bearer),jwt_payload_query('$.iss')
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_verify("RS256","{key}") 1 }}
  http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}
  http-request deny deny_status 401 unless {{ var(txn.iss) -m str {issuer} }}
  default_backend b
backend b
  server s 127.0.0.1:{upstream} maxconn 1024
"""


def started(core, *command, **more):
    return subprocess.Popen(["taskset", "-c", core, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)


def memory(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    total = int(re.search(r"VmRSS:\s+(\d+)", status)[1])
    for child in children:
        total += int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{child}/status").read_text())[1])
    return total / 1024


def wrk(url, token, seconds, connections):
    command = ["taskset", "-c", OTHER_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-H", f"Authorization: Bearer {token}", url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text:
        raise SystemExit(f"{url} refuses: {text}")
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    scale = {"us": 0.001, "ms": 1, "s": 1000}[p99[2]]
    return float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]), float(p99[1]) * scale


def grantor(folder, port, tokens):
    """A server of its own with one API; gives back the process and the gateway's address."""
    binary, data = TARGET / "release" / "grantor", folder / f"data-{port}"
    run = lambda *words: subprocess.run([binary, *words, "--data", data, "--json"], capture_output=True, text=True, check=True, cwd=folder).stdout
    environment = {"PATH": "/usr/bin:/bin", "GRANTOR_GATEWAY_REMEMBERED_TOKENS": str(tokens)}
    listen = [f"127.0.0.1:{port + offset}" for offset in range(3)]
    process = started(PROXY_CORE, binary, "serve", "--data", data, "--listen", listen[0], "--ops-listen", listen[1], "--gateway-listen", listen[2], env=environment, cwd=folder)
    for _ in range(100):
        time.sleep(0.1)
        try:
            urllib.request.urlopen(f"http://{listen[1]}/health/ready").read()
            break
        except OSError:
            continue
    secret = json.loads(run("client", "add", "shop", "--realm", "demo", "--service-account"))["secret"]
    run("api", "add", "orders", "--realm", "demo", "--upstream", f"http://127.0.0.1:{UPSTREAM}", "--rule", "GET /open public", "--rule", "GET /orders role=offline_access")
    run("api", "allow", "orders", "--client", "shop")
    form = urllib.parse.urlencode({"grant_type": "client_credentials", "client_id": "shop", "client_secret": secret}).encode()
    token = lambda: json.load(urllib.request.urlopen(f"http://{listen[0]}/realms/demo/protocol/openid-connect/token", form))["access_token"]
    return process, f"http://{listen[2]}", token, f"http://{listen[0]}/realms/demo"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    missing = [tool for tool in ("wrk", "nginx", "haproxy", "taskset", "openssl") if not shutil.which(tool)]
    if missing:
        print("missing:", ", ".join(missing), file=sys.stderr)
        return 3
    processes = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            ports = {"upstream": UPSTREAM, "nginx": NGINX, "haproxy": HAPROXY}
            for core, which, body in ((OTHER_CORE, "upstream", UPSTREAM_BODY), (PROXY_CORE, "nginx", PROXY_BODY)):
                conf = folder / f"{which}.conf"
                log = folder / "access.log" if which == "nginx" else "off"
                conf.write_text(NGINX_CONF.format(folder=folder, name=which, log=log, body=body.format(**ports)))
                processes.append(started(core, "nginx", "-c", conf, "-p", folder))
            plain_nginx = processes[-1]
            seen, seen_url, seen_token, issuer = grantor(folder, 19300, 16384)
            processes.append(seen)
            first, first_url, first_token, _ = grantor(folder, 19310, 0)
            processes.append(first)
            seen_token()
            realm = json.load(urllib.request.urlopen(issuer))
            key = folder / "key.pem"
            key.write_text("-----BEGIN PUBLIC KEY-----\n" + re.sub("(.{64})", "\\1\n", realm["public_key"]) + "\n-----END PUBLIC KEY-----\n")
            conf = folder / "haproxy.conf"
            conf.write_text(HAPROXY_CONF.format(key=key, issuer=issuer, **ports))
            haproxy = started(PROXY_CORE, "haproxy", "-f", conf, "-db")
            processes.append(haproxy)
            time.sleep(1)
            cases = [
                ("nginx, plain", f"http://127.0.0.1:{NGINX}/open", seen_token, plain_nginx),
                ("plain", f"{seen_url}/open", seen_token, seen),
                ("enforced, token seen before", f"{seen_url}/orders", seen_token, seen),
                ("enforced, first sight", f"{first_url}/orders", first_token, first),
                ("HAProxy, jwt_verify", f"http://127.0.0.1:{HAPROXY}/orders", seen_token, haproxy),
            ]
            results = {name: [] for name, *_ in cases}
            for round_ in range(options.rounds + 1):
                for name, url, token, _ in cases:
                    # The first round warms up.
                    result = wrk(url, token(), options.seconds if round_ else 1, options.connections)
                    if round_:
                        results[name].append(result)
                        print(f"round {round_}: {name}: {result[0]:,.0f}/s, p99 {result[1]:.2f} ms", flush=True)
            rss = {name: memory(process) for name, _, _, process in cases}
        finally:
            for process in processes:
                process.terminate()
    middle = {name: (median(rate for rate, _ in rounds), median(p99 for _, p99 in rounds)) for name, rounds in results.items()}
    of = lambda one, other: median(a[0] / b[0] for a, b in zip(results[one], results[other]))
    lines = ["| | calls/s | p99, ms | memory, MB |", "|---|---|---|---|"]
    lines += [f"| {name} | {rate:,.0f} | {p99:.2f} | {rss[name]:.0f} |" for name, (rate, p99) in middle.items()]
    lines += ["", "| ratio | measured | aim |", "|---|---|---|"]
    lines.append(f"| plain to nginx's plain | {of('plain', 'nginx, plain'):.2f} | 0.90 |")
    lines.append(f"| enforced (seen before) to plain | {of('enforced, token seen before', 'plain'):.2f} | 0.90 |")
    lines.append(f"| enforced (first sight) to HAProxy's check | {of('enforced, first sight', 'HAProxy, jwt_verify'):.2f} | over 1 |")
    lines.append(f"| enforced (seen before) to HAProxy's check | {of('enforced, token seen before', 'HAProxy, jwt_verify'):.2f} | over 1 |")
    text = "\n".join(lines)
    print(text)
    if options.write:
        page = options.write.read_text()
        before, _, rest = page.partition(MARKS[0])
        _, _, after = rest.partition(MARKS[1])
        options.write.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{after}")
    return 0


sys.exit(main())
