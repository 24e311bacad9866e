#!/bin/sh
# Builds kube-apiserver, kube-controller-manager and kube-scheduler from the Go module proxy:
#   sh tests/kubernetes/build.sh FOLDER [1.MINOR.PATCH]
# k8s.io/kubernetes replaces its staging modules by folders that its module does not have, so that
# `go install` refuses it; each is published under the same version with 0 in the place of 1.
# About 6 minutes on 2 cores, 2 GB of Go's caches; Go 1.22 or newer.
set -eu
folder=$(mkdir -p "${1:?a folder for the programs}" && cd "$1" && pwd)
version=${2:-1.31.4}
source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT
export GOFLAGS="-mod=mod -buildvcs=false" GOWORK=off
go mod download "k8s.io/kubernetes@v$version"
cp -r "$(go env GOMODCACHE)/k8s.io/kubernetes@v$version/." "$source"
chmod -R u+w "$source"
cd "$source"
rm -rf vendor go.work go.work.sum
for module in $(sed -n 's|^[[:space:]]*\(k8s.io/[^ ]*\) => ./staging/.*|\1|p' go.mod); do
  case $module in
    # Examples: no program needs them, and not every one is published.
    */sample-*) go mod edit -dropreplace="$module" -droprequire="$module" ;;
    *) go mod edit -dropreplace="$module" -require="$module@v0.${version#1.}" ;;
  esac
done
info=k8s.io/component-base/version
minor=${version#1.}
for program in kube-apiserver kube-controller-manager kube-scheduler; do
  nice -n 10 go build -p 2 -trimpath -o "$folder/$program" -ldflags \
    "-s -w -X $info.gitVersion=v$version -X $info.gitMajor=1 -X $info.gitMinor=${minor%%.*}" \
    "./cmd/$program"
done
echo "NAUTILUS_TEST_KUBE_APISERVER=$folder/kube-apiserver"
