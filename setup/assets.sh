#!/usr/bin/env bash
# What a release consists of beside images and programs, out of the commit that is checked out: the source, the
# charts as helm packages them, and the checksums of everything in dist/. The same commit gives the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
mkdir -p dist
git archive --format=tar --prefix="evenkeel-$version/" HEAD | gzip --no-name >"dist/evenkeel-$version-source.tar.gz"
for chart in evenkeel evenkeel-consumer; do
  tar --create --sort=name --mtime="@$(git log -1 --format=%ct)" --owner=0 --group=0 --numeric-owner \
    --mode=go+r-w,u+rw --directory deploy/helm "$chart" | gzip --no-name >"dist/$chart-$version.tgz"
done
sums=$(cd dist && find . -maxdepth 1 -type f ! -name SHA256SUMS -printf '%f\n' | sort | xargs sha256sum)
echo "$sums" >dist/SHA256SUMS
