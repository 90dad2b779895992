#!/usr/bin/env bash
# Starts a throw-away PostgreSQL from the programs installed on this machine and prints the URL of its empty database:
#
#     url=$(tests/oracle/postgres.sh $$)
#
# It ends, and its files go, within a second or two after the process of the given id has ended, however that ended.
# It keeps its data in the temporary folder, listens on a free port of the loopback interface and skips every fsync.
# Exit codes: 0 it runs, 1 it did not start, 2 wrong usage, 3 its programs are missing.
set -euo pipefail

parent=${1:-}
if [ $# -ne 1 ] || ! kill -0 "$parent"; then
  echo "usage: tests/oracle/postgres.sh PROCESS-ID" >&2
  exit 2
fi

# The folder with the programs: one in PATH (that may hold links to a few of them only), or the newest where Debian puts them.
find_programs() {
  local initdb
  for initdb in "$(command -v initdb || true)" $(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -rV); do
    [ -x "$initdb" ] || continue
    initdb=$(dirname "$(readlink -f "$initdb")")
    [ -x "$initdb/postgres" ] && [ -x "$initdb/createdb" ] && { echo "$initdb"; return; }
  done
  return 1
}

programs=$(find_programs) || { echo "PostgreSQL's programs are missing (Debian: postgresql)" >&2; exit 3; }

# PostgreSQL refuses to run as root; then it runs as the user that its packages create.
as=()
if [ "$(id -u)" -eq 0 ]; then
  id -u postgres >/dev/null 2>&1 || { echo "root cannot run PostgreSQL, and there is no user postgres" >&2; exit 3; }
  # setpriv becomes the program; runuser stays around it as its parent.
  if command -v setpriv >/dev/null; then
    as=(setpriv --reuid=postgres --regid=postgres --init-groups --)
  else
    as=(runuser -u postgres --)
  fi
fi

folder=$(mktemp -d "${TMPDIR:-/tmp}/grantor-postgres-XXXXXX")
[ ${#as[@]} -eq 0 ] || chown postgres "$folder"
cd "$folder"

"${as[@]}" "$programs/initdb" --auth=trust --username=grantor --encoding=UTF8 --no-locale --no-sync --pgdata "$folder/data" \
  >"$folder/initdb.log" 2>&1 || { cat "$folder/initdb.log" >&2; rm -rf "$folder"; exit 1; }

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

# Runs the server as long as the process lives, and cleans up. INT asks PostgreSQL to stop at once but in order.
watch_over() {
  trap : INT TERM HUP
  "${as[@]}" "$programs/postgres" -D "$folder/data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
    -c max_connections=200 -c fsync=off -c full_page_writes=off >"$folder/log" 2>&1 &
  local server=$!
  while kill -0 "$parent" 2>/dev/null && kill -0 "$server" 2>/dev/null; do sleep 1; done
  kill -INT "$(head -n 1 "$folder/data/postmaster.pid" 2>/dev/null)" 2>/dev/null
  wait "$server"
  rm -rf "$folder"
}
# Nothing of the caller's stays open in it: the caller may wait for the end of this script's output.
(set +e; watch_over) </dev/null >/dev/null 2>&1 &
watcher=$!

for _ in $(seq 300); do
  if "$programs/createdb" --host=127.0.0.1 --port="$port" --username=grantor --no-password --maintenance-db=postgres grantor \
    2>/dev/null; then
    echo "postgres://grantor@127.0.0.1:$port/grantor"
    exit 0
  fi
  kill -0 "$watcher" 2>/dev/null || { echo "PostgreSQL ended at once" >&2; exit 1; }
  sleep 0.1
done
echo "PostgreSQL did not get ready; the end of its log:" >&2
tail -n 20 "$folder/log" >&2
kill -INT "$(head -n 1 "$folder/data/postmaster.pid")"
exit 1
