#!/usr/bin/env bash
# The README's tour does what the README says: starts a server with an empty data folder on free ports, runs the tour's blocks in order
# in one bash, and stops it.
#
#     tests/tour.sh [BINARY]                  # BINARY is target/release/grantor when not given
#     tests/tour.sh BINARY docs/PAGE.md       # another page with a tour, beside an export of Keycloak in export/
#
# A block of the tour stands between ```sh and ``` below a line <!-- tour -->. Lines <!-- expect: TEXT --> below a block say what its
# output has to contain. The ports 8080, 8000, 9000, 9101 and 9102 of the blocks become those that are free here; everything else runs as it stands there.
# Exit codes: 0 everything ran and said what it should, 1 it did not, 2 wrong usage, 3 a tool is missing.
set -euo pipefail

cd "$(dirname "$0")/.."
repository=$PWD
[ $# -le 2 ] || { echo "usage: tests/tour.sh [BINARY [PAGE]]" >&2; exit 2; }
target=${CARGO_TARGET_DIR:-target}
binary=${1:-$target/release/grantor}
page=${2:-README.md}

missing=()
for tool in curl jq openssl python3; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done
[ ${#missing[@]} -eq 0 ] || { echo "the tour needs ${missing[*]}" >&2; exit 3; }

# shellcheck source=tests/support/server.sh
. tests/support/server.sh
new_server "$binary" "$target/tour"
blocks=$server_folder/blocks
mkdir "$blocks"

# One file for each block, named by its line, and one with the texts that its output has to contain.
awk -v folder="$blocks" '
  function fail(text) { printf "%s, line %d: %s\n", FILENAME, NR, text >"/dev/stderr"; failed = 1; exit 1 }
  inside && /^```$/        { inside = 0; next }
  inside                   { print >(name ".sh"); next }
  marked && $0 != "```sh"  { fail("no ```sh below <!-- tour -->") }
  marked                   { marked = 0; inside = 1; name = sprintf("%s/%05d", folder, NR); printf "" >(name ".expect"); next }
  /^<!-- tour -->$/        { marked = 1; next }
  /^<!-- expect: .+ -->$/  { if (name == "") fail("no block of the tour above")
                             print substr($0, 14, length($0) - 17) >(name ".expect"); next }
  /^<!-- (tour|expect)/    { fail("a mark that is not understood") }
  /[^[:space:]]/           { name = "" }
  END                      { if (!failed && (inside || marked)) fail("a block of the tour has no end") }
' "$page"
count=$(find "$blocks" -name '*.sh' | wc -l)
[ "$count" -gt 0 ] || { echo "$page has no tour" >&2; exit 1; }

# The tour is walked in the repository's folder with the server's data in it: here, in a folder that looks like that.
mkdir "$server_folder/run/target"
ln -s "$(dirname "$server_binary")" "$server_folder/run/target/release"
ln -s "$repository/tests" "$server_folder/run/tests"
ln -s "$repository/examples" "$server_folder/run/examples"
cargo build --quiet --package example-task-api --package example-registry
ln -s "$(cd "$target/debug" && pwd)" "$server_folder/run/target/debug"
ln -s ../data "$server_folder/run/grantor-data"
mkdir "$server_folder/run/export"
cp crates/server/tests/exports/26.7.0/acme-realm.json "$server_folder/run/export"

start_server
read -r one two < <(free_ports 2)
sed -i -e "s/127\.0\.0\.1:8080/${base#http://}/g" -e "s/127\.0\.0\.1:9000/${ops#http://}/g" -e "s/127\.0\.0\.1:8000/${gate#http://}/g" \
  -e "s/127\.0\.0\.1:9101/127.0.0.1:$one/g" -e "s/127\.0\.0\.1:9102/127.0.0.1:$two/g" "$blocks"/*

# Commands that print an address of the server take it from the configuration, and what the tour writes goes with the server's folder.
code=0
(become env TMPDIR="$server_folder" PATH="$(dirname "$server_binary"):$PATH" GRANTOR_SERVER_LISTEN="${base#http://}" "$repository/tests/support/blocks.sh" "$blocks") || code=1
[ "$code" -eq 0 ] || { printf '\nthe lines are those of %s; the last lines of the server:\n' "$page"; show_server_log 10; }
stop_server || code=1
[ "$code" -ne 0 ] || printf '\nthe tour: all %d blocks ran and printed what %s says\n' "$count" "$page"
exit "$code"
