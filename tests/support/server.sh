# shellcheck shell=bash
# Starts a Grantor on free ports of the loopback interface with a data folder of its own, for test scripts that source this file:
#
#     . tests/support/server.sh
#     new_server BINARY FOLDER [DATABASE-URL]   # makes FOLDER anew; nothing runs yet
#     grantor realm import …                    # runs the command against that server's data
#     start_server                              # sets $base, $ops, $gate; prints the log and returns 1 when it does not get ready
#     stop_server                               # asks it to stop; its exit code (0 is right), 1 when it does not end within 10 s
#
# The administrator is admin:admin. Whatever happens, the server ends with the script, by the trap that new_server sets.

server_pid=
base=
ops=
gate=

new_server() {
  [ -x "$1" ] || { echo "$1 is not there; build it: cargo build --release" >&2; return 1; }
  server_binary=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
  server_folder=$2
  server_database=${3:-}

  rm -rf "$server_folder"
  mkdir -p "$server_folder/run"
  server_folder=$(cd "$server_folder" && pwd)
  server_log=$server_folder/log
  trap kill_server EXIT
}

# Becomes the command, in a process that the caller makes. A settings file or variables of the person who runs the tests must not
# change what is tested.
become() {
  # shellcheck disable=SC2086
  unset ${!GRANTOR_@} ${!KC_@} ${!KEYCLOAK_@}
  export GRANTOR_BOOTSTRAP_ADMIN_USERNAME=admin GRANTOR_BOOTSTRAP_ADMIN_PASSWORD=admin
  [ -z "$server_database" ] || export GRANTOR_DATABASE_URL=$server_database
  [ -z "${server_routes:-}" ] || export GRANTOR_GATEWAY_ROUTES=$server_routes
  cd "$server_folder/run" || exit
  exec "$@"
}

grantor() { (become "$server_binary" "$@" --data "$server_folder/data"); }

# A port may be taken by another program before the server has it, hence the attempts.
start_server() {
  local ports _
  for _ in 1 2 3; do
    ports=$(free_ports 3) || return 1
    # shellcheck disable=SC2086
    set -- $ports
    # shellcheck disable=SC2034 # for the script that sources this file
    base=http://127.0.0.1:$1
    ops=http://127.0.0.1:$2
    # shellcheck disable=SC2034 # for the script that sources this file
    gate=http://127.0.0.1:$3
    become "$server_binary" serve --data "$server_folder/data" \
      --listen "127.0.0.1:$1" --ops-listen "127.0.0.1:$2" --gateway-listen "127.0.0.1:$3" >"$server_log" 2>&1 </dev/null &
    server_pid=$!
    await_server && return 0
    kill_server
    grep -qi 'address.* in use' "$server_log" || break
  done
  echo "the server did not get ready; its log:" >&2
  show_server_log >&2
  return 1
}

await_server() {
  local _
  for _ in $(seq 300); do
    curl -fs --max-time 5 -o /dev/null "$ops/health/ready" && return 0
    kill -0 "$server_pid" 2>/dev/null || return 1
    sleep 0.1
  done
  return 1
}

stop_server() {
  local code=0 _
  kill -TERM "$server_pid" 2>/dev/null || { echo "the server had ended by itself" >&2; return 1; }
  for _ in $(seq 100); do
    kill -0 "$server_pid" 2>/dev/null || break
    sleep 0.1
  done
  if kill -0 "$server_pid" 2>/dev/null; then
    echo "the server did not end within 10 s of SIGTERM" >&2
    kill_server
    return 1
  fi
  wait "$server_pid" || code=$?
  server_pid=
  [ "$code" -eq 0 ] || echo "the server ended with exit code $code" >&2
  return "$code"
}

kill_server() {
  [ -n "$server_pid" ] || return 0
  kill -KILL "$server_pid" 2>/dev/null
  wait "$server_pid" 2>/dev/null
  server_pid=
}

show_server_log() {
  [ -f "$server_log" ] || return 0
  tail -n "${1:-60}" "$server_log"
  echo "(the whole log: $server_log)"
}

# free_ports N: N different free ports of 127.0.0.1.
free_ports() {
  python3 - "$1" <<'PYTHON'
import socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for each in sockets:
    each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))
PYTHON
}
