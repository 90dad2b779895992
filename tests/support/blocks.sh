#!/usr/bin/env bash
# Runs the shell blocks that tests/tour.sh took out of a page, in order and in this one bash, so that variables stay from block to block:
#
#     tests/support/blocks.sh FOLDER      # holds LINE.sh and LINE.expect for each block
#
# Prints each block and what it printed; ends with exit code 1 at the first command that fails and the first text that is missing.
set -Eeuo pipefail

blocks=$(cd "$1" && pwd)
exec 3>&1
# What a block left running ends with the page, however that ends.
trap 'jobs -p | xargs -r kill 2>/dev/null || true' EXIT
trap 'printf "\nthis command failed: %s\nits block printed:\n" "$BASH_COMMAND" >&3; tail -n 40 "$blocks/output" >&3; exit 1' ERR

for block in "$blocks"/*.sh; do
  printf '\n== line %d\n' "$((10#$(basename "$block" .sh)))"
  sed 's/^/  $ /' "$block"
  # shellcheck disable=SC1090 # a block of the page
  . "$block" >"$blocks/output" 2>&1 </dev/null
  sed 's/^/    /' "$blocks/output" | cut -c 1-200
  while IFS= read -r text; do
    if ! grep -qF -e "$text" "$blocks/output"; then
      printf '\nthe output above does not contain: %s\n' "$text"
      exit 1
    fi
  done <"${block%.sh}.expect"
done
