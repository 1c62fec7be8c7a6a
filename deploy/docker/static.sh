#!/usr/bin/env bash
# Proves what can be proved of the scaler's image without a container engine: it is built from exactly
# what .dockerignore lets through, is static and small, and runs in an empty root that is read-only, as
# the image's user, with the arguments and probes of the chart. Needs root (chroot, namespaces), musl's
# compiler and curl. What it cannot prove: that the base images can be had, and the other architecture.
set -euo pipefail
cd "$(dirname "$0")/../.."
most_bytes=$((28 * 1024 * 1024))
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
machine=$(uname -m)-unknown-linux-musl
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

for program in musl-gcc curl readelf unshare; do
  command -v "$program" >/dev/null || {
    echo "missing: $program (Debian: musl-tools, curl, binutils, util-linux)" >&2
    exit 1
  }
done
[ "$(id -u)" -eq 0 ] || { echo "run it as root: it makes a root folder of its own" >&2; exit 1; }

echo "== built from what .dockerignore lets through"
mkdir "$place/context"
sed -n 's/^!//p' .dockerignore | while read -r path; do
  if [ -e "$path" ]; then cp -r --parents "$path" "$place/context"; fi
done
rustup target add "$machine"
# The toolchain file stays outside, so the toolchain is named.
(cd "$place/context" && CARGO_TARGET_DIR=$target RUSTUP_TOOLCHAIN=$(rustc --version | cut -d' ' -f2) \
  cargo build --locked --release --package evenkeel --no-default-features --target "$machine")
program=$target/$machine/release/evenkeel

echo "== static, and below 28 MiB"
if readelf --dynamic "$program" | grep NEEDED; then
  echo "it needs libraries" >&2
  exit 1
fi
bytes=$(stat --format %s "$program")
echo "$bytes bytes"
[ "$bytes" -lt "$most_bytes" ]

echo "== runs in an empty, read-only root as 65532, as the chart starts it"
root=$place/root
mkdir -p "$root/etc/ssl/certs" "$root/etc/evenkeel"
cp "$program" "$root/evenkeel"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
# What Kubernetes mounts: the configuration and the names.
echo 'clusters: {main: {bootstrapServers: [kafka.test:9092]}}' >"$root/etc/evenkeel/evenkeel.yaml"
echo '127.0.0.1 localhost scaler.test' >"$root/etc/hosts"
chmod -R a+rX "$place"
sed -n '/args:/,/env:/s/^ *- \(serve\|--\)/\1/p' deploy/helm/rendered/evenkeel/default.yaml >"$place/arguments"
cat "$place/arguments"
# shellcheck disable=SC2016 # the inner shell expands
unshare --mount --net bash -euo pipefail -c '
  place=$1
  root=$place/root
  mount --bind "$root" "$root"
  mount -o remount,bind,ro "$root"
  ip link set lo up
  mapfile -t arguments <"$place/arguments"
  chroot --userspec=65532:65532 --groups= "$root" /evenkeel "${arguments[@]}" 2>"$place/log" &
  scaler=$!
  trap "kill $scaler 2>/dev/null || true" EXIT
  curl --silent --show-error --retry 50 --retry-connrefused --retry-delay 1 --max-time 5 \
    --output "$place/metrics" http://127.0.0.1:8080/metrics
  grep evenkeel_build_info "$place/metrics"
  # The probes: grpc.health.v1.Health/Check of a service; 0x08 0x01 in the answer is SERVING.
  for service in readiness liveness; do
    printf "\x00\x00\x00\x00\x$(printf %02x $((${#service} + 2)))\x0a\x$(printf %02x ${#service})$service" |
      curl --silent --show-error --http2-prior-knowledge --max-time 5 --data-binary @- \
        --header "content-type: application/grpc" --header "te: trailers" \
        --output "$place/answer" http://127.0.0.1:9090/grpc.health.v1.Health/Check
    [ "$(od -An -tx1 "$place/answer" | tr -d " ")" = 00000000020801 ]
    echo "$service is served"
  done
  # A name, the HTTP client, and the answer for a target that nobody asked about.
  chroot --userspec=65532:65532 --groups= "$root" /evenkeel explain shop/none --server http://scaler.test:8080 2>&1 |
    tee "$place/explained" || true
  grep --quiet "shop/none" "$place/explained"
  kill -TERM "$scaler"
  wait "$scaler"
  trap - EXIT
  grep "ended in order" "$place/log"
' - "$place"
echo "== all of it holds"
