#!/usr/bin/env bash
# What the tests of the web page need: a Chromium and its driver, of the same version. Google's Chrome
# with its chromedriver will do as well; where neither is there, Debian's packages are installed.
set -euo pipefail

browser_is_there() {
  command -v chromedriver >/dev/null &&
    { command -v chromium || command -v google-chrome; } >/dev/null
}

if ! browser_is_there && command -v apt-get >/dev/null; then
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
  echo "installing chromium chromium-driver"
  "${as_root[@]}" apt-get update -qq
  # Where a system has them under another name, what is said below is more use than apt's words.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null || true
fi
if ! browser_is_there; then
  echo "missing: Chromium and chromedriver (tests of the web page). Debian: chromium chromium-driver;" >&2
  echo "elsewhere install Chrome or Chromium with the chromedriver of the same version, both on the" >&2
  echo "PATH. Then run make test again" >&2
  exit 1
fi
