#!/usr/bin/env bash
# A probe inside a private network: nothing can dial in, only TCP port 443 leads out, through NAT. It checks a service
# that nobody else can reach, and its results are on the hub. Needs root, iproute2 and nftables; takes half a minute.
#
#   world (this machine)          gateway (NAT, 443 only)           private network
#   hub https://10.77.0.1  <----  10.77.0.2 | 10.77.1.1  <----  probe 10.77.1.2, service 10.77.1.3:8080
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
export PATH=$root/node_modules/.bin:$PATH
seconds=${1:-10}

for tool in ip nft openssl node; do
  command -v "$tool" >/dev/null || { echo "private-network.sh: $tool is missing (apt-get install iproute2 nftables openssl)" >&2; exit 2; }
done
[ "$(id -u)" -eq 0 ] || { echo 'private-network.sh: network namespaces need root' >&2; exit 2; }
[ -f dist/parallax.js ] || npm run --silent build

work=$(mktemp -d)
chmod 711 "$work"
gateway=plx-gateway-$$ private=plx-private-$$ link=plx$(($$ % 100000))
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  ip link del "$link" 2>/dev/null || true
  ip netns del "$gateway" 2>/dev/null || true
  ip netns del "$private" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
say() { printf '\n== %s\n' "$*"; }
started() { pids+=("$!"); }

say 'the networks'
ip netns add "$gateway"
ip netns add "$private"
ip link add "$link" type veth peer name out0 netns "$gateway"
ip link add in0 netns "$gateway" type veth peer name up0 netns "$private"
ip addr add 10.77.0.1/24 dev "$link"
ip link set "$link" up
ip -n "$gateway" addr add 10.77.0.2/24 dev out0
ip -n "$gateway" addr add 10.77.1.1/24 dev in0
ip -n "$private" addr add 10.77.1.2/24 dev up0
ip -n "$private" addr add 10.77.1.3/24 dev up0
for device in lo out0 in0; do ip -n "$gateway" link set "$device" up; done
for device in lo up0; do ip -n "$private" link set "$device" up; done
ip -n "$private" route add default via 10.77.1.1
# Whoever out there knows the way is turned away all the same.
ip route add 10.77.1.0/24 via 10.77.0.2
ip netns exec "$gateway" sysctl -qw net.ipv4.ip_forward=1
ip netns exec "$gateway" nft -f - <<'RULES'
table ip demo {
  chain leaving {
    type nat hook postrouting priority srcnat;
    oifname "out0" masquerade
  }
  chain passing {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname "in0" tcp dport 443 accept
  }
}
RULES

say 'the hub, on https://10.77.0.1'
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=hub of the demo' \
  -addext 'subjectAltName=IP:10.77.0.1' -keyout "$work/hub.key" -out "$work/hub.crt" 2>/dev/null
node --disable-warning=TimeoutNegativeWarning deploy/demo/database.ts "$work/postgres" >"$work/url" & started
for _ in $(seq 300); do [ -s "$work/url" ] && break; sleep 0.1; done
export DATABASE_URL PARALLAX_SECRET PARALLAX_KEYS=$work/keys PARALLAX_PUBLIC_URL=https://10.77.0.1
DATABASE_URL=$(cat "$work/url")
PARALLAX_SECRET=$(openssl rand -base64 32)
node dist/parallax.js hub --listen 10.77.0.1:443 --tls-cert "$work/hub.crt" --tls-key "$work/hub.key" >"$work/hub.log" 2>&1 & started
export NODE_EXTRA_CA_CERTS=$work/hub.crt PARALLAX_HUB=https://10.77.0.1
for _ in $(seq 300); do grep -q 'sign in' "$work/hub.log" && break; sleep 0.1; done
PARALLAX_TOKEN=$(node deploy/demo/first-token.ts)
export PARALLAX_TOKEN

say 'the private service, and a probe beside it'
ip netns exec "$private" node deploy/demo/private-service.ts 10.77.1.3 8080 & started
service=$!
cat >"$work/endpoints.yaml" <<'YAML'
endpoints:
  - name: private
    url: http://10.77.1.3:8080/
    interval: 1s
    regions: [office]
YAML
node dist/parallax.js enroll --region office --ttl 10m >"$work/token"
node dist/parallax.js endpoints apply "$work/endpoints.yaml" --source demo
ip netns exec "$private" env -u DATABASE_URL -u PARALLAX_SECRET -u PARALLAX_TOKEN node dist/parallax.js probe \
  --token-file "$work/token" --data "$work/probe" --hub-ca "$work/hub.crt" --allow-network 10.77.1.0/24 >"$work/probe.log" 2>&1 & started

say 'what the private network lets out'
reach() { ip netns exec "$private" node -e "const s=require('net').connect($2,'$1');s.setTimeout(1500);s.on('connect',()=>{console.log('open');process.exit()});for(const e of['error','timeout'])s.on(e,()=>{console.log('shut');process.exit()})"; }
printf 'hub:443  %s\nhub:80   %s\n' "$(reach 10.77.0.1 443)" "$(reach 10.77.0.1 80)"
printf 'service from the world: '
node -e "const s=require('net').connect(8080,'10.77.1.3');s.setTimeout(1500);s.on('connect',()=>{console.log('open');process.exit()});for(const e of['error','timeout'])s.on(e,()=>{console.log('shut');process.exit()})"

say "its results, for $seconds s"
sleep "$seconds"
node dist/parallax.js results private --limit 5
kill -USR2 "$service"
say 'the service breaks'
sleep 3
node dist/parallax.js results private --limit 3
ups=$(node dist/parallax.js results private --limit 1000 --json | grep -c '"outcome":"up"' || true)
downs=$(node dist/parallax.js results private --limit 1000 --json | grep -c '"outcome":"down"' || true)
say "$ups up, $downs down, seen from inside a network that nobody can enter"
[ "$ups" -gt 0 ] && [ "$downs" -gt 0 ] || { tail -5 "$work/probe.log" "$work/hub.log"; exit 1; }
