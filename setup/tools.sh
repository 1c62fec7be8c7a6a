#!/usr/bin/env bash
# The checkers that `make lint` needs beside the toolchain, each in the version that is named here: two
# from source, two as programs in Python wheels (setup/linters.txt).
set -euo pipefail

# has PROGRAM VERSION: whether it is there in this version.
has() {
  [ "$("$1" --version 2>/dev/null | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1)" = "$2" ]
}

for tool in cargo-deny@0.20.2 cargo-machete@0.9.2; do
  program=${tool%@*}
  has "$program" "${tool#*@}" || {
    echo "building $tool (once, a few minutes)"
    cargo install --locked --quiet --force "$tool"
  }
done

linters=${CARGO_TARGET_DIR:-target}/linters
# Named by what it was installed from, so that other versions replace it.
if ! cmp --silent setup/linters.txt "$linters/installed.txt"; then
  if ! python3 -m pip --version >/dev/null 2>&1; then
    echo "missing: Python 3 with pip (linters of Dockerfiles and shell scripts; Debian: python3-pip)" >&2
    exit 1
  fi
  rm -rf "$linters"
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
    --target "$linters" --only-binary :all: --require-hashes --requirement setup/linters.txt
  cp setup/linters.txt "$linters/installed.txt"
fi
if ! PATH="$linters/bin:$PATH" command -v shellcheck >/dev/null; then
  echo "missing: shellcheck (linter of shell scripts; install your system's package)" >&2
  exit 1
fi
