#!/usr/bin/env bash
# Compares Grantor's answers with those recorded from a real Keycloak 26.7, in the areas that expected.txt lists: imports the oracle's
# realms into an empty data folder, starts the server on free ports, plays every exchange, and stops it.
#
#     tests/oracle/run.sh [BINARY] [--database URL | --postgres] [--only AREA[/SCENARIO]] [--verbose]
#
# BINARY is target/release/grantor when not given. --database takes an EMPTY PostgreSQL database; --postgres starts a throw-away server
# from the installed programs. --only (a glob) plays a part and does not count. The recorded answers, the realms and the program that
# compares are in corpus/; GRANTOR_ORACLE names a folder to take them from instead, such as one with newer recordings. Differences that are meant stand in meant.toml, each with its reason.
# Exit codes: 0 all is identical but for what is meant, 1 it is not, 2 wrong usage, 3 the oracle or a tool is missing.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$repository/target}
binary=$target/release/grantor
database=
postgres=
only=
options=()

usage() { sed -n '5p' "$0" | sed 's/^# */usage: /' >&2; exit 2; }

while [ $# -gt 0 ]; do
  case $1 in
    --database) [ $# -ge 2 ] || usage; database=$2; shift 2 ;;
    --postgres) postgres=yes; shift ;;
    --only) [ $# -ge 2 ] || usage; only=$2; shift 2 ;;
    --verbose) options+=(--verbose); shift ;;
    -*) usage ;;
    *) binary=$1; shift ;;
  esac
done
[ -z "$database" ] || [ -z "$postgres" ] || usage

oracle=${GRANTOR_ORACLE:-$here/corpus}
if [ ! -f "$oracle/compare" ]; then
  echo "the oracle is missing: no compare in $oracle (GRANTOR_ORACLE names its folder)" >&2
  exit 3
fi
oracle=$(cd "$oracle" && pwd)
python3 -c 'import tomllib' 2>/dev/null || { echo "the oracle needs python3, 3.11 or later" >&2; exit 3; }
command -v curl >/dev/null || { echo "the oracle needs curl" >&2; exit 3; }

[ -z "$postgres" ] || database=$("$here/postgres.sh" $$) || exit
name=SQLite
[ -z "$database" ] || name=PostgreSQL
folder=$target/oracle/${name,,}

# shellcheck source=tests/support/server.sh
. "$here/../support/server.sh"
new_server "$binary" "$folder"/server "$database"

# The corpus of this run: the areas of expected.txt, by links, so that one run plays them all and meant.toml is judged as a whole.
rm -rf "$folder/corpus"
mkdir -p "$folder/corpus/exchanges"
folder=$(cd "$folder" && pwd)
ln -s "$oracle/answers" "$folder/corpus/answers"
areas=$(sed 's/#.*//' "$here/expected.txt" | awk 'NF { print $1 }')
for area in $areas; do
  [ -f "$oracle/exchanges/$area.toml" ] || { echo "the oracle has no area $area" >&2; exit 1; }
  ln -s "$oracle/exchanges/$area.toml" "$folder/corpus/exchanges/$area.toml"
done

echo "$name: importing $(find "$oracle/realms" -name '*.json' | wc -l) realms"
grantor realm import "$oracle"/realms/*.json --if-exists overwrite >"$folder/import.log" 2>&1 || {
  echo "the import failed:" >&2
  tail -n 40 "$folder/import.log" >&2
  exit 1
}
start_server || exit 1

echo "$name: playing against $base"
failed=
python3 -B "$oracle/compare" check "$base" --no-setup --admin admin:admin --corpus "$folder/corpus" --meant "$here/meant.toml" \
  --report "$folder/report.json" ${only:+--only "$only"} "${options[@]}" | tee "$folder/compare.log" || failed=yes
stop_server || failed=yes

# Nothing was left out: every area has its number of exchanges, and every entry of meant.toml names one that was played.
[ -n "$only" ] || python3 -B - "$here" "$folder" <<'PYTHON' || failed=yes
import collections, fnmatch, json, pathlib, sys, tomllib
here, folder = map(pathlib.Path, sys.argv[1:])
try:
    played = json.loads((folder / "report.json").read_text())
except OSError:
    sys.exit("nothing was compared")
lines = [line.partition("#")[0].split() for line in (here / "expected.txt").read_text().splitlines()]
expected = {line[0]: int(line[1]) for line in lines if line}
found = collections.Counter(exchange.split(":")[0] for exchange in played)
wrong = [f"{area}: {found[area]} exchanges played, not {n}" for area, n in expected.items() if found[area] < n]
wrong += [f"meant.toml: no exchange is called {entry['exchange']}" for entry in tomllib.loads((here / "meant.toml").read_text()).get("meant", [])
          if not fnmatch.filter(played, entry["exchange"])]
more = [f"{area} has {found[area]} exchanges now: raise its number in expected.txt" for area, n in expected.items() if found[area] > n]
print(*wrong, *more, sep="\n", end="\n" if wrong + more else "")
sys.exit(bool(wrong))
PYTHON

if [ -n "$failed" ]; then
  echo
  echo "the server's last lines:"
  show_server_log 40
  echo "$name: NOT identical; every difference: $folder/report.json, what was imported: $folder/import.log"
  exit 1
fi
echo "$name: identical"
