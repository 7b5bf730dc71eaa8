#!/usr/bin/env bash
# Release archives in dist/: one for each system, with the binary, LICENSE and README, and
# beside it what the binary is made of (a CycloneDX SBOM); SHA256SUMS over all.
# Times, owners and order within the archives do not depend on the machine.
#
#   VERSION=v1.2.3 scripts/dist.sh      default: the tag, or the commit where none is
set -euo pipefail
cd "$(dirname "$0")/.."

sbom=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
systems="linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64"

for tool in git go tar gzip zip sha256sum; do
  command -v $tool >/dev/null || {
    echo "dist.sh: $tool is missing: install it" >&2
    exit 1
  }
done
version=${VERSION:-$(git describe --tags --always --dirty)}
when=$(git log -1 --format=%ct)

rm -rf dist
mkdir -p dist
for system in $systems; do
  os=${system%/*} arch=${system#*/}
  name=scry_${version}_${os/darwin/macos}_$arch
  binary=dist/$name/scry
  [ "$os" = windows ] && binary+=.exe
  echo "$name"
  CGO_ENABLED=0 GOOS=$os GOARCH=$arch go build -trimpath -buildvcs=false -ldflags "-s -w -X main.stamped=$version" -o "$binary" ./cmd/scry
  cp LICENSE README.md "dist/$name/"
  go run $sbom bin -json -noserial -notimestamp -version "$version" -output "dist/$name.cdx.json" "$binary" 2>/dev/null
  find "dist/$name" -exec touch -d "@$when" {} +
  if [ "$os" = windows ]; then
    (cd dist && TZ=UTC zip -qrX "$name.zip" "$name")
  else
    tar -C dist --sort=name --owner=0 --group=0 --numeric-owner -cf - "$name" | gzip -9n >"dist/$name.tar.gz"
  fi
  rm -r "dist/${name:?}"
done
(cd dist && sha256sum scry_* >SHA256SUMS)
