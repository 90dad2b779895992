#!/usr/bin/env python3
"""Measures the release build of Grantor under load, and how it starts, on the loopback interface.

    cargo build --release && cargo build --release --package load-bare
    benches/load/run.py                    # all requests and the starts, in less than three minutes
    benches/load/run.py --only 'refresh*'  # some requests
    benches/load/run.py --start            # the starts only
    benches/load/run.py --keycloak         # the same requests on a real Keycloak too (six minutes more)

The server has one core to itself and the load generator another (taskset). Each request is measured in rounds, and in every round the
ceilings are measured right after it on the same core, so that a slow minute is slow for all: a minimal axum handler that signs the same
claims, and the signature alone. docs/performance.md says how to read the tables.

Needs Linux, Python 3.11 and wrk (Debian: apt-get install wrk); PostgreSQL's server programs for its rows (Debian: postgresql); for
--keycloak the oracle and a JDK. Exit codes: 0 measured, 1 something failed, 2 wrong usage, 3 a tool is missing.
"""

import argparse
import contextlib
import datetime
import fnmatch
import json
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from statistics import median

sys.dont_write_bytecode = True

import generator
import report
import start
from cases import CASES, realms
from servers import REPOSITORY, TARGET, Bare, Failed, Grantor, Keycloak, pinned, postgres

DEFAULTS = {"seconds": 3, "rounds": 2, "warm_up": 1, "connections": 16, "starts": 10}

# A signature alone hardly varies: so much of a round is enough.
SIGNATURE_PART = 0.5

# A Java program is as fast as it gets only after a while: once for all that requests share, then for each request.
KEYCLOAK_FIRST_WARM_UP, KEYCLOAK_WARM_UP = 60, 15


def arguments():
    about, _, _ = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(description=about, epilog="Requests: " + ", ".join(case.name for case in CASES))
    whole = lambda text: positive(int, text)
    parser.add_argument("--seconds", type=whole, help="length of a round (default: 3)")
    parser.add_argument("--rounds", type=whole, help="rounds of each request (default: 2)")
    parser.add_argument("--warm-up", type=whole, help="seconds before the first round (default: 1)")
    parser.add_argument("--connections", type=whole, help="connections, each with one request at a time (default: 16)")
    parser.add_argument("--only", metavar="PATTERN", help="requests whose names match; the starts are left out")
    parser.add_argument("--start", action="store_true", help="measure the starts only")
    parser.add_argument("--starts", type=whole, help="how many starts (default: 10)")
    parser.add_argument("--keycloak", action="store_true", help="measure a real Keycloak too, started by the oracle's script")
    parser.add_argument("--no-postgres", action="store_true", help="leave PostgreSQL out")
    parser.add_argument("--log-level", help="Grantor's log level (default: its own default, a line for each request)")
    parser.add_argument("--build", action="store_true", help="build the two programs first")
    parser.add_argument("--binary", type=Path, default=TARGET / "release" / "grantor", help="the program (default: the release build)")
    parser.add_argument("--bare", type=Path, default=TARGET / "release" / "load-bare", help="the program it is measured against")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results")
    parser.add_argument("--from", dest="source", type=Path, metavar="FILE", help="measure nothing, take the results of --json")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw a chart")
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="put the tables between the marks of a page")
    parser.set_defaults(**DEFAULTS)
    return parser.parse_args()


def positive(kind, text):
    value = kind(text)
    if not 0 < value <= 600:
        raise ValueError
    return value


def say(text):
    print(text, file=sys.stderr, flush=True)


def cores():
    """One for the server, one for the load; the same where there is only one, none where none can be chosen."""
    if not hasattr(os, "sched_getaffinity") or shutil.which("taskset") is None:
        say("taskset is missing (Debian: util-linux): server and load share all cores, so the rates are not those of one core")
        return None, None
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        say("there is one core only: server and load share it, so the rates are too low")
    return usable[0], usable[-1]


def processor():
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()


def said(command, otherwise):
    with contextlib.suppress(OSError):
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.strip()
    return otherwise


class Plan:
    """What one run measures, and what it found."""

    def __init__(self, options):
        self.options = options
        self.server_core, self.load_core = cores()
        self.folder = TARGET / "load"
        self.rows, self.fixed, self.failed = [], None, 0

    def realm_files(self):
        files = []
        for realm in realms():
            files.append(self.folder / f"{realm['realm']}.json")
            files[-1].write_text(json.dumps(realm, indent=1))
        return files

    def load(self, load, server, seconds):
        kept, core = pinned(self.load_core), self.server_core
        measured = generator.run(load, server, seconds, self.options.connections, core, kept, self.folder)
        self.failed += measured.failed
        return measured

    def measure(self, case, server, name, database, bare=None, warm_up=None):
        """All rounds of one request, with the ceilings in between."""
        options, memory = self.options, server.memory()
        load = case.make(server)
        minimal = generator.Load(f"/sign/{case.signs}", headers=load.headers, bodies=load.bodies) if bare and case.signs else None
        # A refresh token that was used up by the warm-up would be missing afterwards.
        if not load.follows:
            self.load(load, server, warm_up or options.warm_up)
        if minimal:
            self.load(minimal, bare, options.warm_up)
        ours, handlers, signatures = [], [], []
        for number in range(options.rounds):
            if load.follows and number:
                load = case.make(server)
            ours.append(self.load(load, server, options.seconds))
            if minimal:
                handlers.append(self.load(minimal, bare, options.seconds).rate)
                signatures.append(bare.signatures(case.signs, options.seconds * SIGNATURE_PART))
        middle = lambda member: median(getattr(one, member) for one in ours)
        row = {"case": case.name, "title": case.title, "signs": case.signs, "server": name, "database": database}
        row |= {member: middle(member) for member in ("rate", "p50", "p99", "busy", "others")}
        row |= {"failed": sum(one.failed for one in ours), "memory_before": memory, "memory_after": server.memory()}
        if minimal:
            row |= {"minimal": median(handlers), "signature": median(signatures)}
            row["of_minimal"] = median(one.rate / other for one, other in zip(ours, handlers))
            row["of_signature"] = median(one.rate / other for one, other in zip(ours, signatures))
        self.rows.append(row)
        wrong = f", {row['failed']} FAILED" if row["failed"] else ""
        disturbed = f", others used {report.percent(row['others'])} of the core" if row["others"] > report.DISTURBED else ""
        say(f"  {name}, {database}: {case.title}: {report.number(row['rate'])}/s, p99 {row['p99']:.2f} ms{wrong}{disturbed}")

    def grantor(self, files, chosen, bare):
        options = self.options
        for database in ("SQLite", "PostgreSQL"):
            asked = [case for case in chosen if database in case.databases]
            if not asked or (database == "PostgreSQL" and options.no_postgres):
                continue
            try:
                # The database server works on the other core, beside the load.
                url = postgres(self.load_core) if database == "PostgreSQL" else None
            except Failed as failed:
                say(f"  left out: {failed}")
                continue
            folder = self.folder / database.lower()
            server = Grantor(options.binary, folder, files, self.server_core, url, options.log_level)
            with contextlib.closing(Stopping(server)):
                for case in asked:
                    self.measure(case, server, "Grantor", database, bare)

    def run(self):
        options = self.options
        chosen = [case for case in CASES if fnmatch.fnmatchcase(case.name, options.only or "*")]
        if not chosen:
            raise Failed(f"no request is called {options.only}; there are: {', '.join(case.name for case in CASES)}")
        files = self.realm_files()
        with contextlib.ExitStack() as stack:
            bare = None
            if options.bare.is_file():
                bare = Bare(options.bare, self.folder / "bare", self.server_core)
                stack.callback(bare.stop)
            else:
                say(f"no ceilings: {options.bare} is not there; build it: cargo build --release --package load-bare")
            self.grantor(files, chosen, bare)
            if bare and not options.only:
                fixed = generator.Load("/fixed", bodies=["grant_type=client_credentials"])
                self.load(fixed, bare, options.warm_up)
                self.fixed = median(self.load(fixed, bare, options.seconds).rate for _ in range(options.rounds))
        if options.keycloak:
            say("  starting Keycloak (up to three minutes)")
            server = Keycloak(files, self.server_core)
            with contextlib.closing(Stopping(server)):
                for number, case in enumerate(chosen):
                    warm_up = KEYCLOAK_WARM_UP if number else KEYCLOAK_FIRST_WARM_UP
                    self.measure(case, server, "Keycloak", "H2", warm_up=warm_up)


class Stopping:
    """Stops a server at the end of a `with`."""

    def __init__(self, server):
        self.close = server.stop


def as_typed(options):
    """The command, without what does not change the numbers."""
    words = ["benches/load/run.py"]
    for name in ("seconds", "rounds", "warm_up", "connections", "starts", "only", "start", "keycloak", "no_postgres", "log_level"):
        value = getattr(options, name)
        if value and value != DEFAULTS.get(name):
            words += ["--" + name.replace("_", "-")] + ([] if value is True else [str(value)])
    return shlex.join(words)


def measured(options):
    if options.build:
        subprocess.run(["cargo", "build", "--release", "--package", "grantor", "--package", "load-bare"], cwd=REPOSITORY, check=True)
    if not options.binary.is_file():
        raise Failed(f"{options.binary} is not there; build it: cargo build --release, or run.py --build")
    if os.getloadavg()[0] > 0.7:
        say(f"other programs are busy (load {os.getloadavg()[0]:.1f}): the numbers will be too low")
    plan = Plan(options)
    shutil.rmtree(plan.folder, ignore_errors=True)
    plan.folder.mkdir(parents=True)
    results = {
        "version": said([str(options.binary), "--version"], "grantor"),
        "commit": said(["git", "describe", "--always", "--dirty", "--exclude=*"], "no commit"),
        "date": datetime.date.today().isoformat(),
        "cpu": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "command": as_typed(options),
        "settings": {
            "seconds": options.seconds,
            "rounds": options.rounds,
            "connections": options.connections,
            "pinned": plan.server_core != plan.load_core,
            "log_level": options.log_level,
        },
    }
    # Each start on an idle computer, so before everything else.
    results["start"] = None if options.only else start.measured(options.binary, plan.folder, options.starts, say)
    if not options.start:
        plan.run()
    results |= {"rows": plan.rows, "fixed": plan.fixed, "failed": plan.failed}
    shutil.rmtree(plan.folder, ignore_errors=True)
    return results


def main():
    options = arguments()
    if not options.source and not options.start and not generator.is_there():
        say(generator.INSTALL)
        return 3
    try:
        results = json.loads(options.source.read_text()) if options.source else measured(options)
        if options.json:
            options.json.write_text(json.dumps(results, indent=1) + "\n")
        if options.plot:
            options.plot.write_text(report.chart(results))
        if options.write:
            report.write(results, options.write)
        print(report.tables(results))
    except (Failed, OSError, ValueError, RuntimeError, subprocess.SubprocessError) as error:
        say(f"error: {error}")
        return 1
    if results.get("failed"):
        say(f"error: {results['failed']} requests failed")
        return 1
    return 0


if __name__ == "__main__":
    # What was started ends with this program, also when it is told to stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
