#!/usr/bin/env bash
# What a fresh machine lacks: system packages and the Rust toolchain. Idempotent, and quick when
# nothing is missing. It knows Debian and its relatives, where it installs (as root, or through sudo); on
# other Linux systems it names what is missing and stops, and on other systems it stops at once. Kafka's jars are not its business: `evenkeel demo --prepare` is.
set -euo pipefail

if [ "$(uname -s)" != Linux ]; then
  echo "this set-up is for Linux (it starts brokers and pods as processes that end with their parent):" >&2
  echo "on $(uname -s) run it in a Linux VM or container; cargo build --release alone builds evenkeel" >&2
  exit 1
fi

missing_packages=()
missing_words=()

# need PACKAGE WORDS TEST...: notes the package where the test fails.
need() {
  local package=$1 words=$2
  shift 2
  if ! "$@" >/dev/null 2>&1; then
    missing_packages+=("$package")
    missing_words+=("$words")
  fi
}

java_is_new_enough() {
  local major
  major=$(java -version 2>&1 | sed -nE 's/.* version "([0-9]+).*/\1/p' | head -n 1)
  [ -n "$major" ] && [ "$major" -ge 17 ]
}

# Debian releases carry different Javas; any from 17 on will do.
java_package() {
  local version
  for version in 17 21 25; do
    if apt-cache show "openjdk-$version-jre-headless" >/dev/null 2>&1; then
      echo "openjdk-$version-jre-headless"
      return
    fi
  done
  echo default-jre-headless
}

check() {
  missing_packages=()
  missing_words=()
  need JAVA "Java 17 or newer (Kafka runs on it)" java_is_new_enough
  need maven "Maven (fetches Kafka's jars)" command -v mvn
  need build-essential "a C and C++ compiler and make (librdkafka)" command -v c++
  need pkg-config "pkg-config (librdkafka)" command -v pkg-config
  need zlib1g-dev "zlib's headers (librdkafka)" zlib_is_there
  need libssl-dev "OpenSSL's headers (librdkafka)" pkg-config --exists openssl
  need libcurl4-openssl-dev "libcurl's headers (librdkafka)" pkg-config --exists libcurl
  need prometheus "Prometheus with promtool (tests)" command -v promtool
  need postgresql "PostgreSQL's server and psql (tests, demo --sink postgres)" postgresql_is_there
  need pgbouncer "PgBouncer (the consumer's tests)" pgbouncer_is_there
  need util-linux "setpriv of util-linux (no process outlives the demo)" command -v setpriv
  need ca-certificates "CA certificates (downloads)" certificates_are_there
}

# Debian's place, Fedora's and openSUSE's.
certificates_are_there() {
  test -e /etc/ssl/certs/ca-certificates.crt || test -e /etc/pki/tls/certs/ca-bundle.crt || test -e /etc/ssl/ca-bundle.pem
}

# Debian has it in /usr/sbin, which is not on everybody's PATH.
pgbouncer_is_there() {
  command -v pgbouncer || test -x /usr/sbin/pgbouncer
}

zlib_is_there() {
  echo '#include <zlib.h>' | cc -E - || pkg-config --exists zlib
}

# Debian keeps the servers of all versions apart, off the PATH.
postgresql_is_there() {
  command -v psql && { ls /usr/lib/postgresql/*/bin/initdb || command -v initdb; }
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  else
    sudo "$@"
  fi
}

install_packages() {
  local packages=() package service services=()
  as_root apt-get update -qq
  for package in "${missing_packages[@]}"; do
    case $package in
      JAVA) packages+=("$(java_package)") ;;
      prometheus | postgresql) services+=("$package"); packages+=("$package") ;;
      *) packages+=("$package") ;;
    esac
  done
  echo "installing ${packages[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
  # Debian starts them as services; only their programs are wanted here.
  for service in "${services[@]}"; do
    if command -v systemctl >/dev/null; then
      as_root systemctl disable --now "$service" >/dev/null 2>&1 || true
    else
      as_root service "$service" stop >/dev/null 2>&1 || true
    fi
  done
}

complain() {
  echo "missing:" >&2
  printf '  %s\n' "${missing_words[@]}" >&2
  echo "$1" >&2
  exit 1
}

check
if [ ${#missing_packages[@]} -gt 0 ]; then
  if ! command -v apt-get >/dev/null; then
    complain "packages are installed on Debian and Ubuntu only: install these with your system's package manager, then run make setup again"
  fi
  if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
    complain "installing them needs root or sudo; run make setup as root once"
  fi
  install_packages
  check
  if [ ${#missing_packages[@]} -gt 0 ]; then
    complain "they are still missing after the installation"
  fi
fi

if ! command -v cargo >/dev/null; then
  echo "missing: Rust. Install rustup (https://rustup.rs) or your system's rustup package; it brings" >&2
  echo "the toolchain that rust-toolchain.toml names. Then run make setup again" >&2
  exit 1
fi
