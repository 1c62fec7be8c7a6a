#!/usr/bin/env bash
# The two checkers that `make lint` needs beside the toolchain; built from crates.io where missing.
set -euo pipefail
for tool in cargo-machete cargo-deny; do
  command -v "$tool" >/dev/null || {
    echo "building $tool (once, a few minutes)"
    cargo install --locked --quiet "$tool"
  }
done
