#!/usr/bin/env bash
# What the tests of deploy/ and of docs/secured-kafka.md need beside the rest: Go, and with it
# setup/chart-tool, which is helm's own packages in a small program (helm has no Debian package), grpcurl,
# and actionlint for the workflow of a release. Modules are pinned, their checksums lie in go.sum or in Go's checksum database. About two
# minutes once; afterwards Go's cache makes it a second.
set -euo pipefail
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")

# The minor version of Go's first release line: 21 of `go1.21.3` and of Debian's `2:1.21~2`.
minor() {
  sed -nE 's/^([0-9]+:|go)?1\.([0-9]+).*/\2/p'
}

# From 1.21 on Go fetches the exact toolchain that go.mod names by itself.
is_new_enough() {
  [ -n "$1" ] && [ "$1" -ge 21 ]
}

go_is_new_enough() {
  is_new_enough "$(go env GOVERSION 2>/dev/null | minor)"
}

debian_has_it() {
  command -v apt-cache >/dev/null &&
    is_new_enough "$(apt-cache show --no-all-versions golang-go 2>/dev/null | sed -n 's/^Version: //p' | minor)"
}

if ! go_is_new_enough && debian_has_it; then
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
  echo "installing golang-go"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends golang-go >/dev/null
fi
if ! go_is_new_enough; then
  echo "missing: Go 1.21 or newer (tests of the Helm charts). Install it from https://go.dev/dl, or your" >&2
  echo "system's package where it is new enough. Then run make test again" >&2
  exit 1
fi
wanted=$(sed -n 's/^go //p' setup/chart-tool/go.mod)
have=$(go env GOVERSION | sed 's/^go//')
if [ "$(go env GOTOOLCHAIN)" = local ] && [ "$(printf '%s\n' "$wanted" "$have" | sort --version-sort | tail -n 1)" != "$have" ]; then
  echo "Go $have is too old: the tests of the Helm charts need $wanted, and GOTOOLCHAIN=local keeps Go from" >&2
  echo "fetching it. Unset GOTOOLCHAIN, or install that Go. Then run make test again" >&2
  exit 1
fi
mkdir -p "$target"
[ -x "$target/grpcurl" ] || GOBIN=$target go install -trimpath github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3
[ -x "$target/actionlint" ] || GOBIN=$target go install -trimpath github.com/rhysd/actionlint/cmd/actionlint@v1.7.7
cd setup/chart-tool
go build -trimpath -buildvcs=false -mod=readonly -o "$target/chart-tool" .
