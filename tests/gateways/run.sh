#!/usr/bin/env bash
# A real nginx asks Grantor about each request (auth_request) and does as it says; the same calls at Grantor's own gateway, and at
# one without a database in a process of its own, end the same. Then tokens are revoked under load (revoke.py).
#
#     tests/gateways/run.sh [BINARY]      # BINARY is target/release/grantor when not given
#
# Exit codes: 0 all as it should be, 1 not, 2 wrong usage, 3 a tool is missing.
set -euo pipefail

cd "$(dirname "$0")/../.."
[ $# -le 1 ] || { echo "usage: tests/gateways/run.sh [BINARY]" >&2; exit 2; }
target=${CARGO_TARGET_DIR:-target}
nginx=$(command -v nginx || ls /usr/sbin/nginx 2>/dev/null || true)
for tool in curl jq python3; do
  command -v "$tool" >/dev/null || { echo "$tool is missing"; exit 3; }
done
[ -n "$nginx" ] || { echo "nginx is missing (Debian: nginx-light)"; exit 3; }

# shellcheck source=tests/support/server.sh
. tests/support/server.sh
new_server "${1:-$target/release/grantor}" "$target/gateways"
folder=$server_folder

others=()
finish() {
  [ ${#others[@]} -eq 0 ] || kill "${others[@]}" 2>/dev/null || true
  kill_server
}
trap finish EXIT

read -r upstream_port nginx_port node_port < <(free_ports 3)
python3 tests/gateways/upstream.py "$upstream_port" &
others+=($!)

grantor realm add shop
grantor client add app --realm shop --service-account --json >"$folder/app.json"
grantor client add other --realm shop --service-account --json >"$folder/other.json"
printf '[wso2]\naudiences = ["orders"]\n' >"$folder/run/grantor.toml"
grantor api add orders --realm shop --host api.test --when-stale introspect --upstream "http://127.0.0.1:$upstream_port" \
  --rule 'GET /orders' --rule 'POST /orders scope=orders:write' --rule 'GET /health public'
grantor api allow orders --client app
grantor client add edge --realm master --gateway --json | jq -r .secret >"$folder/edge"
start_server
printf '[gateway]\nstale_after_seconds = 4\n' >"$folder/node.toml"
(become "$server_binary" gateway --config "$folder/node.toml" --issuer "http://127.0.0.1:$nginx_port/issuer" --client-id edge --client-secret-file "$folder/edge" \
  --gateway-listen "127.0.0.1:$node_port" --ops-listen off >"$folder/node.log" 2>&1) &
others+=($!)
node=http://127.0.0.1:$node_port

sed -e "s/@nginx@/$nginx_port/" -e "s/@upstream@/$upstream_port/" -e "s|@grantor@|${base#http://}|" -e "s|@folder@|$folder|" \
  tests/gateways/nginx.conf >"$folder/nginx.conf"
"$nginx" -c "$folder/nginx.conf" -p "$folder" -g 'daemon off;' &
others+=($!)
for _ in $(seq 100); do
  curl -s -o /dev/null "http://127.0.0.1:$nginx_port/health" && break
  sleep 0.1
done

token() {
  curl -sf "$base/realms/shop/protocol/openid-connect/token" -d grant_type=client_credentials \
    -d "client_id=$1" --data-urlencode "client_secret=$(jq -r .secret "$folder/$1.json")" | jq -r .access_token
}
app=$(token app)
other=$(token other)
for _ in $(seq 100); do
  [ "$(curl -s -o /dev/null -w '%{http_code}' -H 'Host: api.test' "$node/health")" = 200 ] && break
  sleep 0.1
done

failed=0
# expect STATUS NAME CURL-ARGUMENTS…: at nginx, at the server's gateway and at the one without a database.
expect() {
  local wanted=$1 name=$2 at status
  shift 2
  for at in "nginx http://127.0.0.1:$nginx_port" "grantor $gate" "node $node"; do
    status=$(curl -s -o "$folder/body" -D "$folder/head" -w '%{http_code}' -H 'Host: api.test' "${@//@/${at#* }}")
    if [ "$status" = "$wanted" ]; then
      echo "ok      $name (${at% *}: $status)"
    else
      echo "FAILED  $name: ${at% *} answers $status, not $wanted: $(cat "$folder/body")"
      failed=1
    fi
  done
}

expect 200 'a public path' @/health
expect 401 'no token' @/orders
grep -qi '^www-authenticate: bearer' "$folder/head" || { echo "FAILED  no challenge"; failed=1; }
expect 401 'a token that is none' -H 'Authorization: Bearer x.y.z' @/orders
expect 401 'a token for another audience' -H "Authorization: Bearer $other" @/orders
expect 403 'a scope that is missing' -H "Authorization: Bearer $app" -X POST @/orders
expect 200 'a token that is good' -H "Authorization: Bearer $app" -H 'X-Auth-Client: forged' @/orders
# What the upstream was told, by whichever of the two came last and by nginx before.
for url in "http://127.0.0.1:$nginx_port" "$gate"; do
  told=$(curl -s -H 'Host: api.test' -H "Authorization: Bearer $app" -H 'X-Auth-Client: forged' "$url/orders" | jq -r '."x-auth-client"')
  [ "$told" = app ] || { echo "FAILED  the upstream was told x-auth-client: $told"; failed=1; }
done

# A revoked token is refused at both within a second.
curl -sf "$base/realms/shop/protocol/openid-connect/revoke" -d client_id=app \
  --data-urlencode "client_secret=$(jq -r .secret "$folder/app.json")" -d "token=$app"
sleep 1
expect 401 'a token that was revoked' -H "Authorization: Bearer $app" @/orders
grantor revocations --json | jq -e '.entries == 1 and (.gateways | length == 2) and all(.gateways[]; .behind == 0)' >/dev/null ||
  { echo "FAILED  grantor revocations: $(grantor revocations --json)"; failed=1; }

python3 -B tests/gateways/revoke.py "$base/realms/shop" app "$(jq -r .secret "$folder/app.json")" api.test /orders 60 "$gate" "$node" \
  -- "$server_binary" revocations --json --data "$folder/data" || failed=1

# An opaque token says nothing itself: the gateway without a database asks.
basic=(-u "app:$(jq -r .secret "$folder/app.json")")
opaque=$(curl -sf "${basic[@]}" "$base/t/shop/oauth2/token" -d grant_type=client_credentials | jq -r .access_token)
expect 200 'an opaque token' -H "Authorization: Bearer $opaque" @/orders
expect 401 'an opaque token that is none' -H "Authorization: Bearer ${opaque}x" @/orders

# The feed is lost for the gateway without a database: after a while it asks about each token, as the API wants it.
at_node() {
  local status
  status=$(curl -s -o /dev/null -w '%{http_code}' -H 'Host: api.test' -H "Authorization: Bearer $3" "$node/orders")
  if [ "$status" = "$1" ]; then echo "ok      $2 (node: $status)"; else echo "FAILED  $2: node answers $status, not $1"; failed=1; fi
}
kept=$(token app)
ended=$(token app)
touch "$folder/cut-feed"
sleep 7
curl -sf "$base/realms/shop/protocol/openid-connect/revoke" "${basic[@]}" -d "token=$ended"
at_node 200 'a good token while the feed is lost' "$kept"
at_node 401 'a revoked token while the feed is lost' "$ended"
touch "$folder/cut-introspect"
at_node 503 'while nothing can be asked' "$(token app)"
rm "$folder/cut-feed" "$folder/cut-introspect"
for _ in $(seq 50); do
  [ "$(curl -s -o /dev/null -w '%{http_code}' -H 'Host: api.test' -H "Authorization: Bearer $(token app)" "$node/orders")" = 200 ] && break
  sleep 0.2
done
at_node 200 'a good token when the feed is back' "$(token app)"
at_node 401 'a revoked token when the feed is back' "$ended"

stop_server || failed=1
exit "$failed"
