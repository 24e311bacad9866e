#!/bin/sh
# Runs the Deno this project is pinned to: tools/deno.sh ARGS... runs `deno ARGS...`;
# tools/deno.sh --path prints where it is.
#
# The pin is the version of @deno/linux-x64-glibc in tools/deno/package.json. A `deno` on PATH of exactly
# that version is used; otherwise that official npm package, which holds the bare binary, is
# installed into tools/deno, checked against the sha512 in package-lock.json there, without running
# install scripts.
set -eu

folder=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)/deno
pin=$(sed -n 's/^ *"@deno\/linux-x64-glibc": *"\([0-9][0-9.]*\)".*/\1/p' "$folder/package.json")
[ -n "$pin" ] || { echo "tools/deno.sh: no deno version in $folder/package.json" >&2; exit 3; }

say() { printf '%s\n' "$*" >&2; }
fail() { say "tools/deno.sh: $*"; exit 3; }

# The version is the second word of the first line: "deno 2.9.6 (stable, ...)".
version_of() { "$1" --version 2>/dev/null | sed -n '1s/^deno \([^ ]*\).*/\1/p'; }

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) package=@deno/linux-x64-glibc ;;
  Linux-aarch64) package=@deno/linux-arm64-glibc ;;
  Darwin-arm64) package=@deno/darwin-arm64 ;;
  Darwin-x86_64) package=@deno/darwin-x64 ;;
  *) package= ;;
esac
installed=$folder/node_modules/$package/deno

install_deno() {
  on_path="put Deno $pin on PATH and run this again"
  [ -n "$package" ] || fail "npm has no Deno for $(uname -s) $(uname -m): $on_path."
  grep -q "\"node_modules/$package\"" "$folder/package-lock.json" ||
    fail "tools/deno/package-lock.json pins no checksum for $package, so it is not installed blindly: $on_path."
  command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 ||
    fail "Deno $pin is not on PATH, and installing it needs node and npm (apt-get install nodejs npm)."
  say "Installing Deno $pin from npm into tools/deno (once, about 40 MB) ..."
  # npm's own output goes to stderr, so that the program's stdout stays its own.
  npm ci --prefix "$folder" --ignore-scripts --loglevel=error >&2 ||
    fail "npm could not install Deno $pin; its message is above."
  [ -f "$installed" ] || fail "npm installed no $package (it passes over a download that fails; its log says why): $on_path."
  [ -x "$installed" ] || chmod +x "$installed"
  found=$(version_of "$installed")
  [ "$found" = "$pin" ] ||
    fail "$installed does not run as Deno $pin (it says '${found:-nothing}'): is this system glibc 2.27 or newer?"
}

deno=$(command -v deno 2>/dev/null || true)
if [ -z "$deno" ] || [ "$(version_of "$deno")" != "$pin" ]; then
  deno=$installed
  if [ -z "$package" ] || ! [ -x "$deno" ] || [ "$(version_of "$deno")" != "$pin" ]; then
    install_deno
  fi
fi

if [ "${1-}" = --path ]; then
  printf '%s\n' "$deno"
  exit 0
fi
# What the program starts as `deno` is the same one.
PATH=$(dirname -- "$deno"):$PATH
export PATH
exec "$deno" "$@"
