"""The load generator: wrk, with a script that says what is sent.

wrk keeps a fixed number of connections, each of which sends its next request when the answer to the last one is there (a closed
loop). It is one small C program that comes as a package; oha, the other candidate, has to be compiled and cannot send on what it was
answered, as refreshing with rotation asks.
"""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

INSTALL = "wrk is missing (Debian and Ubuntu: apt-get install wrk; macOS: brew install wrk)"


@dataclass
class Load:
    """What is sent, over and over."""

    path: str
    method: str = "POST"
    headers: dict = field(default_factory=dict)
    bodies: list = field(default_factory=list)
    """Sent in turn."""
    follows: bool = False
    """Each body ends with a refresh token, and the one in its answer takes its place."""


@dataclass
class Measured:
    """What one run of wrk, and the kernel's counters of the server, said."""

    rate: float
    p50: float
    p99: float
    failed: int
    busy: float
    """The part of one core that the server used."""
    others: float
    """The part of the server's core that other programs used: it is missing in the rate."""


def is_there():
    return shutil.which("wrk") is not None


def text(value):
    """A Lua string. JSON's escapes that both languages share are enough for what is sent here."""
    if not value.isascii() or not value.isprintable():
        raise ValueError("only printable ASCII is sent")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def script(load):
    lines = [f"wrk.method = {text(load.method)}"]
    lines += [f"wrk.headers[{text(name)}] = {text(value)}" for name, value in load.headers.items()]
    if len(load.bodies) == 1 and not load.follows:
        lines.append(f"wrk.body = {text(load.bodies[0])}")
    elif load.bodies:
        lines.append("local bodies = {" + ",\n".join(map(text, load.bodies)) + "}")
        lines.append(FOLLOWING if load.follows else IN_TURN)
    lines.append(DONE)
    return "\n".join(lines) + "\n"


# Requests are put together once, not each time they are sent.
IN_TURN = """
local ready, at = {}, 0
init = function()
  for i, body in ipairs(bodies) do ready[i] = wrk.format(nil, nil, nil, body) end
end
request = function()
  at = at % #ready + 1
  return ready[at]
end"""

FOLLOWING = """
local first, last = 1, #bodies
local prefix = string.match(bodies[1], "^(.*refresh_token=)")
request = function()
  local body = bodies[first]
  bodies[first] = nil
  first = first + 1
  return wrk.format(nil, nil, nil, body)
end
response = function(status, headers, body)
  local token = string.match(body, '"refresh_token"%s*:%s*"([^"]+)"')
  if token then
    last = last + 1
    bodies[last] = prefix .. token
  end
end"""

DONE = """
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('\\nRESULT {"requests": %d, "micros": %d, "p50": %d, "p99": %d, "failed": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status + e.connect + e.read + e.write + e.timeout))
end"""


def used(core):
    """Seconds that programs used of a core, since the start of the system; of no core, nothing."""
    for line in Path("/proc/stat").read_text().splitlines() if core is not None else []:
        name, *ticks = line.split()
        if name == f"cpu{core}":
            # user, nice, system and what another system took; not idle, waiting and interrupts, which the load makes.
            return sum(int(ticks[at]) for at in (0, 1, 2, 7)) / os.sysconf("SC_CLK_TCK")
    return 0.0


def run(load, server, seconds, connections, server_core, pinned, folder):
    """Sends for so long; `pinned` is the command's beginning that keeps wrk on its core."""
    file = folder / "load.lua"
    file.write_text(script(load))
    cpu, all_cpu = server.cpu_seconds(), used(server_core)
    command = [*pinned, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", str(file)]
    ended = subprocess.run([*command, server.base + load.path], capture_output=True, text=True, timeout=seconds + 60)
    result = next((line[7:] for line in ended.stdout.splitlines() if line.startswith("RESULT ")), None)
    if ended.returncode or result is None:
        raise RuntimeError(f"wrk failed: {ended.stdout} {ended.stderr}")
    result = json.loads(result)
    took = result["micros"] / 1e6
    cpu, all_cpu = server.cpu_seconds() - cpu, used(server_core) - all_cpu
    return Measured(
        rate=result["requests"] / took,
        p50=result["p50"] / 1e3,
        p99=result["p99"] / 1e3,
        failed=result["failed"],
        busy=cpu / took,
        others=max(0.0, all_cpu - cpu) / took,
    )
