#!/usr/bin/env bash
# A release in one command: `make release VERSION=1.2.3`. It writes the version into crates, charts, rendered
# manifests and documents and the day into the changelog, commits, tags, and puts source, charts and checksums
# into dist/ (setup/assets.sh). It pushes nothing; what a pushed tag starts is .github/workflows/release.yml.
# HOME_URL=https://... is where whoever publishes has the repository: it goes into the metadata of crates,
# charts and Artifact Hub, which name no address without it. Refuses with everything that is wrong at once.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:-}
home=${HOME_URL:-}
old=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
wrong=()

# newest VERSION...: the newest of them; a release candidate comes before its release.
newest() {
  printf '%s\n' "$@" | sed 's/-/~/' | sort --version-sort | tail -n 1 | sed 's/~/-/'
}

# What stands under "Unreleased", up to the next release.
unreleased() {
  sed -n '/^## Unreleased$/,$ { /^## Unreleased$/d; /^## /q; p; }' CHANGELOG.md
}

if [ -z "$version" ]; then
  wrong+=("VERSION is missing: make release VERSION=1.2.3")
elif ! [[ $version =~ ^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-rc\.[1-9][0-9]*)?$ ]]; then
  wrong+=("$version is no version: it has to be like 1.2.3 or 1.2.3-rc.1")
else
  last=$(git tag --list 'v*' | sed 's/^v//')
  # shellcheck disable=SC2086 # one word a tag
  last=$(newest $last)
  if [ -n "$last" ] && { [ "$version" = "$last" ] || [ "$(newest "$version" "$last")" != "$version" ]; }; then
    wrong+=("$version is not newer than the last release, $last")
  elif [ "$(newest "$version" "$old")" != "$version" ]; then
    wrong+=("$version is older than $old, which Cargo.toml has")
  fi
fi
if [ -n "$home" ] && ! [[ $home =~ ^https://[^[:space:]\"]+$ ]]; then
  wrong+=("HOME_URL is no https:// address")
fi
branch=$(git symbolic-ref --short --quiet HEAD || echo "no branch")
if [ "$branch" != main ]; then wrong+=("releases are made on main, this is $branch"); fi
if [ -n "$(git status --porcelain)" ]; then wrong+=("something is not committed: git status"); fi
if [[ $'\n'$(unreleased) != *$'\n- '* ]]; then
  wrong+=("CHANGELOG.md says nothing under \"## Unreleased\"")
fi
if [ ${#wrong[@]} -gt 0 ]; then
  echo "no release:" >&2
  printf '  %s\n' "${wrong[@]}" >&2
  exit 1
fi

day=$(date --utc +%F)
was=${old//./\\.}
sed -i "s/^version = \"$was\"$/version = \"$version\"/" Cargo.toml consumer/Cargo.toml consumer-extras/Cargo.toml
# The lock file's own packages are those without a source.
awk -v RS= -v ORS='\n\n' -v old="version = \"$old\"" -v new="version = \"$version\"" \
  '!/\nsource = / && index($0, old) { sub(/version = "[^"]*"/, new) } { print }' Cargo.lock >Cargo.lock.new
# awk ends with one line too many.
sed '$d' Cargo.lock.new >Cargo.lock
rm Cargo.lock.new
sed -i -E "s/^(version|appVersion): $was$/\1: $version/" deploy/helm/*/Chart.yaml deploy/artifacthub/evenkeel/artifacthub-pkg.yml
sed -i "s/^createdAt: .*/createdAt: \"${day}T00:00:00Z\"/" deploy/artifacthub/evenkeel/artifacthub-pkg.yml
# Where people read or copy it, and what the charts render; not release candidates that cases name.
git grep -lzF "$old" -- README.md docs deploy | xargs -0 sed -i -E "s/(evenkeel(-consumer)?[: -]|version: \"?)$was($|[^-.0-9])/\1$version\3/g"
sed -i "s/^## Unreleased$/## Unreleased\n\n## $version - $day/" CHANGELOG.md
if [ -n "$home" ]; then
  sed -i '/^repository = /d' Cargo.toml
  sed -i "s|^license = \"Apache-2.0\"$|&\nrepository = \"$home\"|" Cargo.toml
  sed -i '/^home: /d; /^sources: /d' deploy/helm/*/Chart.yaml
  sed -i "s|^kubeVersion: .*|&\nhome: $home\nsources: [$home]|" deploy/helm/*/Chart.yaml
  sed -i '/^homeURL: /d' deploy/artifacthub/evenkeel/artifacthub-pkg.yml
  sed -i "s|^license: .*|&\nhomeURL: $home|" deploy/artifacthub/evenkeel/artifacthub-pkg.yml
fi
git commit --quiet --all --message "Release $version"
git tag --annotate --message "evenkeel $version" "v$version"
bash setup/assets.sh
echo "made: the commit, the tag v$version, and dist/"
echo "next: git push --follow-tags origin main"
