#!/usr/bin/env bash
# What the tests of deploy/ need beside the rest: Go, and with it setup/chart-tool, which is helm's own
# packages in a small program (helm has no Debian package). Its modules are pinned and their checksums
# lie in go.sum. About a minute once; afterwards Go's cache makes it a second.
set -euo pipefail
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")

# From 1.21 on Go fetches the exact toolchain that go.mod names by itself.
go_is_new_enough() {
  local version
  version=$(go env GOVERSION 2>/dev/null | sed -nE 's/^go1\.([0-9]+).*/\1/p')
  [ -n "$version" ] && [ "$version" -ge 21 ]
}

if ! go_is_new_enough; then
  echo "missing: Go 1.21 or newer (tests of the Helm chart). Install it from https://go.dev/dl, or your" >&2
  echo "system's package where it is new enough. Then run make test again" >&2
  exit 1
fi
mkdir -p "$target"
cd setup/chart-tool
go build -trimpath -mod=readonly -o "$target/chart-tool" .
