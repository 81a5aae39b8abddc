#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds the documentation as a site with a search, readable without a network, from a disk or a server. Tools come from the package index,
# pinned in scripts/pins/docs.txt, into a virtual environment in build/docs.
#   scripts/docs.sh                 into build/docs/site
#   scripts/docs.sh --out DIR       into DIR, which is replaced if it holds such a site
#   scripts/docs.sh --serve         and shows it at http://127.0.0.1:8000 until Ctrl-C (--port N: elsewhere)
# Fails on a link or an anchor that leads nowhere, and on a page that would load anything from a network. Exit code 77: the tools cannot be had.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

work=$root/build/docs
pins=$root/scripts/pins/docs.txt
out=$work/site
serve=
port=8000
while (($# > 0)); do
  case $1 in
    -h | --help) script_help; exit ;;
    --out) out=$(realpath -m -- "${2:?--out wants a folder}"); shift ;;
    --serve) serve=yes ;;
    --port) port=${2:?--port wants a number}; shift ;;
    *) say "error: $1: docs.sh takes --out DIR, --serve and --port N"; exit 2 ;;
  esac
  shift
done

cannot() {
  say "error: the site cannot be built: $*"
  exit 77
}

# The environment is kept while it is that of the pins.
install_tools() {
  ! cmp -s "$pins" "$work/venv/pins.txt" || return 0
  command -v python3 >/dev/null || cannot "python3 is not installed"
  mkdir -p "$work"
  rm -rf "$work/venv"
  python3 -m venv "$work/venv" >"$work/set-up.log" 2>&1 || cannot "python3 -m venv fails (Debian: apt-get install python3-venv); see $work/set-up.log"
  "$work/venv/bin/pip" --disable-pip-version-check install --quiet --only-binary=:all: --require-hashes -r "$pins" >>"$work/set-up.log" 2>&1 ||
    cannot "pip could not install what scripts/pins/docs.txt names; see $work/set-up.log"
  cp "$pins" "$work/venv/pins.txt"
}

# A folder with something else in it is not ours to replace.
check_out() {
  [[ ! -e $out || -e $out/search/search_index.json || -z $(ls -A -- "$out") ]] || die "$out: holds something that is no site. Take another --out."
}

build_site() {
  local python=$work/venv/bin/python
  "$python" "$root/scripts/docs/pages.py" stage "$root" "$work/pages"
  # Not --quiet: what it does not print it does not count either.
  NO_MKDOCS_2_WARNING=1 "$python" -m mkdocs build --strict --config-file "$work/pages/mkdocs.yml" --site-dir "$out" 2>&1 | { grep -v '^INFO' >&2 || true; }
  "$python" "$root/scripts/docs/pages.py" check "$out"
}

check_out
install_tools
build_site
say "The site: $out/index.html"
if [[ -n $serve ]]; then
  say "http://127.0.0.1:$port   (Ctrl-C ends it)"
  exec python3 -m http.server "$port" --bind 127.0.0.1 --directory "$out"
fi
