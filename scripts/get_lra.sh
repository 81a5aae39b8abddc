#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Fetches the official data of the Long Range Arena, verifies, unpacks and checks them. Nothing is fetched without being asked for.
#   scripts/get_lra.sh                               says what there is, how large, under which terms
#   scripts/get_lra.sh --task text --task image      fetches these (asks first; --yes does not)
#   scripts/get_lra.sh --all --yes                   everything: about 8.5 GB to fetch, 38 GB of disk
# Tasks: listops, text, image; retrieval, pathfinder32, pathfinder64, pathfinder128 (= pathx), pathfinder256 (all of them from the release of 8.2 GB).
# Options: --root DIR (data/lra), --yes, --keep (do not delete the archives), --no-check.
# An interrupted download goes on at the next call. Files that you have fetched yourself go into ROOT/.downloads under the name that this prints.
# Environment: LRA_RELEASE_URL, LRA_LISTOPS_URL (the folder), LRA_TEXT_URL, LRA_IMAGE_URL name other places; LRA_TEXT_SHA256 and LRA_TEXT_BYTES (the same with IMAGE
# and RELEASE) what is expected there ("none", "unknown"); LRA_RELEASE_SPACE the disk that the release needs.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=scripts/lib/download.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/download.sh"

# --- what there is -----------------------------------------------------------------------------------------------------------------
release_url=${LRA_RELEASE_URL:-https://storage.googleapis.com/long-range-arena/lra_release.gz}
release_bytes=${LRA_RELEASE_BYTES:-unknown}        # about 8.23 GB; no size or checksum has been published
release_sha256=${LRA_RELEASE_SHA256:-none}
release_about=8230000000
release_unpacked=18600000000
listops_url=${LRA_LISTOPS_URL:-https://storage.googleapis.com/long-range-arena/lra_release/listops-1000}
text_url=${LRA_TEXT_URL:-http://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz}
text_bytes=${LRA_TEXT_BYTES:-84125825}
text_sha256=${LRA_TEXT_SHA256:-c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe}
image_url=${LRA_IMAGE_URL:-https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz}
image_bytes=${LRA_IMAGE_BYTES:-170052171}
image_sha256=${LRA_IMAGE_SHA256:-c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd}

# Where a task's folder lies below the root. For those of the release it is the archive's member, too.
folder_of() {
  case $1 in
    listops) echo listops-1000 ;;
    text) echo aclImdb ;;
    image) echo cifar-10-batches-bin ;;
    retrieval) echo lra_release/lra_release/tsv_data ;;
    pathfinder*) echo "lra_release/lra_release/$1" ;;
  esac
}

describe() {
  case $1 in
    listops) echo "listops: three files, about 660 MB, from $listops_url. Output of a program: 'lotformer-data generate --task listops' makes the like in seconds." ;;
    text) echo "text: Large Movie Review Dataset (Maas et al. 2011), 84 MB, about 520 MB unpacked (100,000 small files), from $text_url. Its README says the terms and the paper to cite." ;;
    image) echo "image: CIFAR-10, binary version (Krizhevsky 2009), 170 MB, 180 MB unpacked, from $image_url. Its page says the terms and the report to cite." ;;
    retrieval) echo "retrieval: ACL Anthology Network, in the release (8.2 GB) from $release_url. The authors of the benchmark say that the papers' texts may not be passed on and publish lists of ids;
  whether you may use the texts is for the network's terms to say: https://aan.how/download/ (later https://clair.eecs.umich.edu/aan/index.php)." ;;
    pathfinder*) echo "$1: 200,000 images for each of three difficulties, in the release (8.2 GB) from $release_url." ;;
  esac
}

# What else can be done when a server refuses ($1: its answer); `task` is the one under way.
fetch_help() {
  if [[ $1 == 40[134] || $1 == 410 ]]; then
    say "  The link is closed or dead (that of the release was reported to answer 403 in August 2026)."
  fi
  case $task in
    listops) say "  ListOps needs no download: lotformer-data generate --task listops --root $data_root makes a set by the same algorithm." ;;
    text | image) say "  If you have the archive from elsewhere, put it at $data_root/.downloads/$(basename "${task}").tar.gz: it is verified by its SHA-256. Or LRA_${task^^}_URL=URL names a mirror." ;;
    *)
      say "  If you have lra_release.gz from elsewhere, put it at $data_root/.downloads/release.tar.gz, or LRA_RELEASE_URL=URL names a mirror."
      [[ $task != retrieval ]] || say "  The texts themselves come from the ACL Anthology Network: https://aan.how/download/ under its terms. A mirror by others
  (OpenNLPLab/lra on the Hugging Face hub) exists; nobody has verified it, and its terms are yours to judge." ;;
  esac
  say "  To try the programs without it: lotformer-data generate --task $task --root $data_root --train 2000 ... makes synthetic data."
}

# --- command line ------------------------------------------------------------------------------------------------------------------
all_tasks=(listops text image retrieval pathfinder32 pathfinder64 pathfinder128 pathfinder256)
tasks=()
data_root=data/lra
yes=no keep=no check=yes
value_of() { (($# > 1)) || fail 2 "$1 wants a value (see --help)."; }
while (($# > 0)); do
  case $1 in
    --task)
      value_of "$@"
      [[ $2 != pathx ]] || set -- "$1" pathfinder128 "${@:3}"
      [[ " ${all_tasks[*]} " == *" $2 "* ]] || fail 2 "there is no task '$2'; known: ${all_tasks[*]}."
      tasks+=("$2")
      shift
      ;;
    --all) tasks=("${all_tasks[@]}") ;;
    --root) value_of "$@"; data_root=${2%/}; shift ;;
    --yes) yes=yes ;;
    --keep) keep=yes ;;
    --no-check) check=no ;;
    -h | --help) script_help; exit ;;
    *) fail 2 "unknown argument '$1' (see --help)." ;;
  esac
  shift
done

if ((${#tasks[@]} == 0)); then
  script_help
  printf '\nWhat there is:\n'
  for task in "${all_tasks[@]}"; do printf '* %s\n' "$(describe "$task")"; done
  exit
fi
for program in curl tar gzip sha256sum; do
  command -v "$program" >/dev/null || fail 2 "please install $program, then run this again."
done
mkdir -p "$data_root" 2>/dev/null || fail 5 "cannot make the folder $data_root"
data_root=$(cd "$data_root" && pwd)
downloads=$data_root/.downloads

ask() {
  say "To be fetched into $data_root:"
  for task in "${tasks[@]}"; do say "* $(describe "$task")"; done
  [[ $yes == no ]] || return 0
  [[ -t 0 ]] || fail 2 "nothing was fetched: --yes says that you want this and have read the terms."
  read -r -p "Go on? [y/N] " answer
  [[ $answer == [yY]* ]] || fail 2 "nothing was fetched."
}

# --- the tasks ---------------------------------------------------------------------------------------------------------------------
# The folder of this task that is there already, under any name that the programs accept, or nothing.
place_of() {
  local names level name
  case $1 in
    listops) names="listops-1000 listops" ;;
    retrieval) names="tsv_data aan" ;;
    pathfinder*) names="$1 pathfinder/$1" ;;
    *) names=$(folder_of "$1") ;;
  esac
  for name in $names; do
    for level in "" lra_release/ lra_release/lra_release/; do
      if [[ -e $data_root/$level$name ]]; then
        echo "$data_root/$level$name"
        return
      fi
    done
  done
}

# Synthetic data are in the way: the official ones must not be mistaken for them.
is_there() {
  local folder
  folder=$(place_of "$1")
  [[ -n $folder ]] || return 1
  if [[ -n $(find "$folder" -maxdepth 2 -name SYNTHETIC.json -print -quit) && $1 != listops ]]; then
    fail 3 "$folder: holds synthetic data. Choose another --root or move it away."
  fi
}

# Space is that of the archive and of what comes out of it, in blocks of 4 KiB, and of the caches that the check makes. The archive goes before
# the check, unless it is kept.

# What the check of a task of the release adds: the decoded set.
cache_of() {
  case $1 in
    retrieval) echo 400000000 ;;
    pathfinder32) echo 210000000 ;;
    pathfinder64) echo 820000000 ;;
    pathfinder128) echo 3280000000 ;;
    pathfinder256) echo 13110000000 ;;
    *) echo 0 ;;
  esac
}

# Neither sizes nor checksums of these files have been published: a page to log in, answered with 200, is known by its first line.
require_listops() {
  local first
  first=$(head -c 200 "$1" | head -n 1 | tr -d '\r\0')
  [[ $first != $'Source\tTarget' ]] || return 0
  rm -f "$1"
  fail 3 "$2: no ListOps file: its first line is '$(tr -cd '[:print:]' <<<"$first")', Source<TAB>Target wanted. It has been removed; try again."
}

get_listops() {
  local folder=$downloads/listops-1000 split there=0
  for split in train val test; do
    there=$((there + $(file_bytes "$folder/basic_$split.tsv") + $(file_bytes "$folder/basic_$split.tsv.part")))
  done
  need_bytes $((800000000 - there)) "$data_root" "ListOps"
  for split in train val test; do
    fetch_verified "$listops_url/basic_$split.tsv" "$folder/basic_$split.tsv" unknown none
    require_listops "$folder/basic_$split.tsv" "$listops_url/basic_$split.tsv"
  done
  mv -T "$folder" "$data_root/listops-1000"
}

# get_archive NAME URL BYTES SHA256 SPACE MEMBERS...
get_archive() {
  local name=$1 url=$2 bytes=$3 sha256=$4 space=$5 archive=$downloads/$1.tar.gz
  shift 5
  need_bytes $((space - $(file_bytes "$archive") - $(file_bytes "$archive.part"))) "$data_root" "$name"
  fetch_verified "$url" "$archive" "$bytes" "$sha256"
  stage "Unpacking $name" unpack "$archive" "$data_root" "$@"
  [[ $keep == yes ]] || rm -f "$archive"
}

get_release() {
  local members=() wanted caches=0 space
  for wanted in "${tasks[@]}"; do
    if [[ $(folder_of "$wanted") != lra_release/* ]] || is_there "$wanted"; then continue; fi
    members+=("$(folder_of "$wanted")")
    [[ $check == no ]] || caches=$((caches + $(cache_of "$wanted")))
  done
  # The members' own sizes are not published: that of the whole release bounds them.
  if [[ $keep == yes ]]; then
    space=$((release_unpacked + release_about + caches))
  else
    space=$((release_unpacked + (release_about > caches ? release_about : caches)))
  fi
  get_archive release "$release_url" "$release_bytes" "$release_sha256" "${LRA_RELEASE_SPACE:-$space}" "${members[@]}"
}

get() {
  case $1 in
    listops) get_listops ;;
    text) get_archive text "$text_url" "$text_bytes" "$text_sha256" 700000000 aclImdb ;;
    image) get_archive image "$image_url" "$image_bytes" "$image_sha256" 450000000 cifar-10-batches-bin ;;
    *) get_release ;;
  esac
}

# The program's own message and exit code when the data are not what they should be. Of Pathfinder the benchmark's difficulty.
check_task() {
  local program=${LOTFORMER_DATA_PROGRAM:-$bin/lotformer-data} arguments=(check --task "$1" --root "$data_root")
  if [[ ! -x $program ]]; then
    say "    not checked: ${program#"$root"/} is not built (scripts/test.sh builds it). Later: lotformer-data ${arguments[*]}"
    return
  fi
  "$program" "${arguments[@]}" || {
    local code=$?
    say "  What is wrong is not fetched again while it is there: remove $(place_of "$1"), then run this again."
    exit "$code"
  }
  [[ $1 != pathfinder* ]] || say "    checked: hard, the benchmark's. The others: lotformer-data ${arguments[*]} --difficulty easy (or intermediate)"
}

ask
for task in "${tasks[@]}"; do
  say "==> $task"
  if is_there "$task"; then
    say "    it is there: not fetched again"
  else
    get "$task"
  fi
  [[ $check == no ]] || check_task "$task"
done
rmdir "$downloads" 2>/dev/null || true
say "Done: data.root is $data_root"
