# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Fetching, verifying and unpacking files from elsewhere. Sourced after common.sh, never run. Failures end the script with the exit codes of
# the programs: 3 the data are missing or damaged, 5 the disk.

fail() {
  local code=$1
  shift
  say "error: $*"
  exit "$code"
}

file_bytes() { stat -c %s "$1" 2>/dev/null || echo 0; }

# 8230000000 -> 7.7 GiB
human_bytes() { numfmt --to=iec-i --suffix=B --format='%.1f' "$1"; }

# need_bytes BYTES FOLDER WHAT: as need_disk, with the exit code of a full disk.
need_bytes() {
  local folder=$2 free
  while [[ ! -d $folder ]]; do folder=$(dirname "$folder"); done
  free=$(df -P -B1 "$folder" | awk 'NR == 2 { print $4 }')
  if ((free < $1)); then
    fail 5 "$3 needs about $(human_bytes "$1") of free disk in $2, only $(human_bytes "$free") are free."
  fi
}

# One run of curl. Sets http_code; returns curl's status. Never from https back to http; a server that sends nothing for a minute is dead.
http_code=000
run_curl() {
  local url=$1 part=$2 status=0 protocols='=http,https' progress=(--silent)
  [[ $url != https:* ]] || protocols='=https'
  [[ ! -t 2 ]] || progress=()    # curl's own meter, with the time left
  http_code=$(curl --fail --location --max-redirs 5 --proto '=http,https' --proto-redir "$protocols" --connect-timeout 20 \
    --speed-limit 100 --speed-time 60 "${progress[@]}" --continue-at - --output "$part" --write-out '%{http_code}' "$url") || status=$?
  return "$status"
}

# remote_bytes URL: prints the size that the server names, or "unknown". A redirect has a length of its own, which says nothing about the file.
remote_bytes() {
  local size
  size=$(curl --head --silent --fail --location --max-redirs 5 --connect-timeout 20 --max-time 60 "$1" 2>/dev/null |
    tr -d '\r' | awk '/^HTTP\// { size = "" } tolower($1) == "content-length:" { size = $2 } END { print size }') || size=
  if [[ $size =~ ^[0-9]+$ ]]; then echo "$size"; else echo unknown; fi
}

# Why curl gave up, in a few words.
curl_failure() {
  case $1 in
    5 | 6) echo "the host of $2 cannot be found: is the network there? (https_proxy names a proxy)" ;;
    7) echo "the host of $2 does not answer" ;;
    18) echo "the connection broke again and again" ;;
    22) echo "the server answers $http_code" ;;
    23) echo "cannot write (is the disk full?)" ;;
    28) echo "the server sends nothing" ;;
    35 | 51 | 60) echo "no safe connection: the server's certificate is not trusted" ;;
    47) echo "the server redirects without end" ;;
    1) echo "the server redirects to another protocol, which is not followed" ;;
    *) echo "curl ends with status $1" ;;
  esac
}

# fetch URL FILE BYTES: into FILE.part, going on where a former attempt stopped; FILE appears when it is whole. BYTES may be "unknown": then
# the server is asked, and what it says costs nobody a FILE.part: it may be mistaken.
# A server may refuse for good: then `fetch_help` (a function of the caller) says what else can be done.
fetch() {
  local url=$1 file=$2 bytes=$3 known=$3 part=$2.part attempt status=0
  mkdir -p "$(dirname "$file")" || fail 5 "cannot make the folder $(dirname "$file")"
  [[ $bytes != unknown ]] || bytes=$(remote_bytes "$url")
  if [[ $known != unknown ]] && (($(file_bytes "$part") > known)); then rm -f "$part"; fi
  for attempt in 1 2 3 4 5; do
    if [[ $bytes != unknown ]] && (($(file_bytes "$part") == bytes)); then
      status=0
      break
    fi
    if (($(file_bytes "$part") > 0)); then say "    going on after $(human_bytes "$(file_bytes "$part")")"; fi
    status=0
    run_curl "$url" "$part" || status=$?
    ((status != 0)) || break
    if [[ $status == 33 || $http_code == 416 ]]; then    # no ranges there, or nothing left of another file: from the beginning
      rm -f "$part"
    elif [[ " 18 28 52 55 56 92 " != *" $status "* && $http_code != 5?? && $http_code != 429 ]]; then
      break      # trying again would not help
    fi
    if ((attempt < 5)); then sleep "${LOTFORMER_RETRY_SECONDS:-3}"; fi
  done
  if ((status == 23)); then fail 5 "$url: $(curl_failure 23 "$url")"; fi
  if ((status != 0)); then
    say "error: $url: $(curl_failure "$status" "$url")"
    fetch_help "$http_code"
    exit 3
  fi
  if [[ $bytes != unknown ]] && (($(file_bytes "$part") != bytes)); then
    local found
    found=$(file_bytes "$part")
    [[ $known != unknown ]] || fail 3 "$url: has $found bytes, but its server named $bytes. They are kept in $part; try again."
    rm -f "$part"
    fail 3 "$url: has $found bytes, $bytes wanted: not the file we know. It has been removed."
  fi
  mv "$part" "$file"
}

# matches FILE SHA256: "none" matches everything.
matches() {
  [[ $2 == none ]] || printf '%s  %s\n' "$2" "$1" | sha256sum --check --status -
}

# fetch_verified URL FILE BYTES SHA256: a file that is there and right is not fetched again; one that was pieced together and is wrong is
# fetched once more from the beginning.
fetch_verified() {
  local url=$1 file=$2 bytes=$3 sha256=$4 pieced=no
  if [[ -e $file ]]; then
    if [[ $bytes == unknown || $(file_bytes "$file") == "$bytes" ]] && matches "$file" "$sha256"; then
      say "    $file is there"
      return
    fi
    fail 3 "$file: does not match the size or SHA-256 of the known file. Remove it, then run this again."
  fi
  [[ ! -e $file.part ]] || pieced=yes
  fetch "$url" "$file" "$bytes"
  if ! matches "$file" "$sha256" && [[ $pieced == yes ]]; then
    say "    the pieces do not fit together: fetching it anew"
    rm -f "$file"
    fetch "$url" "$file" "$bytes"
  fi
  if ! matches "$file" "$sha256"; then
    rm -f "$file"
    fail 3 "$url: its SHA-256 is not $sha256: damaged on the way, or another file. It has been removed; try again."
  fi
}

# unsafe_member ARCHIVE MEMBERS...: prints the first member there that is no plain file or folder, or whose name leads elsewhere. Status 1:
# the archive cannot be read, or lacks one of the members.
unsafe_member() {
  LC_ALL=C tar -tvzf "$1" --numeric-owner --quoting-style=escape -- "${@:2}" 2>/dev/null >"$1.list" || return 1
  awk '{ name = $6; for (i = 7; i <= NF; ++i) name = name " " $i }
       substr($1, 1, 1) !~ /^[-d]$/ || name ~ /^\// || ("/" name "/") ~ /\/\.\.\// { print name; exit }' "$1.list"
}

# unpack ARCHIVE ROOT MEMBERS...: each member (a folder) appears in ROOT whole or not at all; one that is there is left alone.
unpack() {
  local archive=$1 to=$2 member unsafe work
  shift 2
  unsafe=$(unsafe_member "$archive" "$@") || {
    rm -f "$archive.list"
    fail 3 "$archive: no whole tar.gz archive with $*. Remove it, then run this again."
  }
  rm -f "$archive.list"
  [[ -z $unsafe ]] || fail 3 "$archive: holds '$unsafe', which is no plain file below the archive's folder. Nothing was unpacked."
  work=$(mktemp -d "$to/.unpack.XXXXXX") || fail 5 "cannot make a folder in $to"
  # shellcheck disable=SC2064  # the folder of now
  trap "rm -rf '$work'" EXIT
  tar -xzf "$archive" -C "$work" --no-same-owner --no-same-permissions -- "$@" 2>"$work/.tar.log" || {
    say "$(tail -n 3 "$work/.tar.log")"
    fail 3 "$archive: unpacking failed (is the disk full, or is a part missing in the archive?)."
  }
  for member in "$@"; do
    mkdir -p "$(dirname "$to/$member")"
    mv -T "$work/$member" "$to/$member" || fail 5 "$to/$member: cannot be put in place."
  done
  rm -rf "$work"
  trap - EXIT
}
