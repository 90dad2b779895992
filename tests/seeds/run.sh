#!/usr/bin/env bash
# Seeds 0 and 1 end to end: a real server with its gateway, the two example services behind it, and the acceptance rows that
# need them (rows.py).
#
#     tests/seeds/run.sh [BINARY]      # BINARY is target/release/grantor when not given
#
# Exit codes: 0 all rows hold, 1 not, 2 wrong usage, 3 a tool is missing.
set -euo pipefail

cd "$(dirname "$0")/../.."
[ $# -le 1 ] || { echo "usage: tests/seeds/run.sh [BINARY]" >&2; exit 2; }
target=${CARGO_TARGET_DIR:-target}
command -v python3 >/dev/null || { echo "python3 is missing"; exit 3; }
cargo build --quiet --package example-registry --package example-task-api

# shellcheck source=tests/support/server.sh
. tests/support/server.sh
new_server "${1:-$target/release/grantor}" "$target/seeds"
folder=$server_folder

others=()
finish() {
  [ ${#others[@]} -eq 0 ] || kill "${others[@]}" 2>/dev/null || true
  kill_server
}
trap finish EXIT

read -r registry_port task_port callback_port < <(free_ports 3)
cp examples/registry/registry.yaml "$folder/registry.yaml"
LISTEN=127.0.0.1:$registry_port DATABASE=sqlite:$folder/registry.db MODEL=$folder/registry.yaml \
  "$target/debug/example-registry" 2>"$folder/registry.log" &
others+=($!)
LISTEN=127.0.0.1:$task_port ALLOW_CALLBACKS=127.0.0.1:$callback_port CALLBACK_SECRET=test-secret-of-callbacks \
  "$target/debug/example-task-api" 2>"$folder/tasks.log" &
others+=($!)

realms=$PWD/crates/server/tests/front/realms
grantor realm import "$realms/kaizten.json" >/dev/null
grantor realm import "$realms/registry.json" >/dev/null
grantor realm add consent-01-external-system
grantor api add tasks --realm kaizten --host tasks.test --upstream "http://127.0.0.1:$task_port" --health /health \
  --openapi "$PWD/examples/task-api/openapi.yaml" >/dev/null
grantor api allow tasks --client kaizten-task-api --scope tasks:run >/dev/null
grantor api allow tasks --client kaizten-bot >/dev/null
cp examples/registry/routes.toml "$folder/routes.toml"
sed -i "s/127.0.0.1:9101/127.0.0.1:$registry_port/" "$folder/routes.toml"
export server_routes=$folder/routes.toml
start_server

code=0
python3 -B tests/seeds/rows.py "$base" "$gate" "$folder" "$server_binary" "$callback_port" || code=1
[ "$code" -eq 0 ] || show_server_log 20
stop_server || code=1
exit "$code"
