#!/usr/bin/env bash
# fuzz.sh TIME: every fuzz target of the module in turn, each for TIME (30s, 1000x)
set -euo pipefail
time=${1:?usage: fuzz.sh TIME}
for package in $(go list ./...); do
  list=$(go test -list '^Fuzz' "$package")
  for target in $(grep '^Fuzz' <<<"$list" || true); do
    echo "== $package $target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package"
  done
done
