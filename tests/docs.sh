#!/usr/bin/env bash
# The pages of docs/ that the program itself can write are those that it writes.
#
#     tests/docs.sh [BINARY] [--write]      # --write puts them there
set -euo pipefail

cd "$(dirname "$0")/.."
binary=${CARGO_TARGET_DIR:-target}/release/grantor
write=
for argument; do
  case $argument in
    --write) write=yes ;;
    -*) echo "usage: tests/docs.sh [BINARY] [--write]" >&2; exit 2 ;;
    *) binary=$argument ;;
  esac
done
[ -x "$binary" ] || { echo "$binary is not there; build it: cargo build --release" >&2; exit 1; }

made=$(mktemp)
trap 'rm -f "$made"' EXIT
stale=()

# page FILE COMMAND…: the file holds what the command of the program prints.
page() {
  local file=$1
  shift
  "$binary" "$@" >"$made" || { stale+=("$file"); return; }
  if [ -n "$write" ]; then
    mkdir -p "$(dirname "$file")"
    cp "$made" "$file"
  elif ! diff -u --label "$file" --label "grantor $*" "$file" "$made"; then
    stale+=("$file")
  fi
}

page docs/configuration.md config reference --markdown
page docs/urls.md urls --markdown

[ ${#stale[@]} -eq 0 ] || { echo "not what the program writes: ${stale[*]} (tests/docs.sh --write makes them anew)"; exit 1; }
