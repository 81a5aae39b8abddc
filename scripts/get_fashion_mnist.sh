#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Makes a real image task without a download from abroad: Fashion-MNIST (Xiao, Rasul, Vollgraf 2017; MIT licence), 28 x 28 grey pixels as a
# sequence of 784 ids, ten classes. It is no task of the Long Range Arena, and says so: data_origin custom.
#   scripts/get_fashion_mnist.sh [--from FOLDER] [--out DIR]
#     --from  folder with the four *-ubyte.gz files; by default those of Debian's package dataset-fashion-mnist, which apt-get fetches
#             (nothing is installed)
#     --out   default: data/fashion-mnist. Receives train.tsv (55,000 rows), val.tsv (the last 5,000 of the training file), test.tsv (10,000)
# Then: lotformer-train --config fashion_mnist.yaml
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

from="" out=data/fashion-mnist
while (($# > 0)); do
  case $1 in
    --from | --out) (($# > 1)) || { say "error: $1 needs a folder"; exit 2; } ;;&
    --from) from=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    -h | --help) script_help; exit 0 ;;
    *) say "error: unknown argument $1"; script_help >&2; exit 2 ;;
  esac
done

validation=5000
[[ ! -e $out ]] || die "$out is there already; take another --out, or remove it"
mkdir -p "$(dirname "$out")"
work=$(mktemp -d "$(dirname "$out")/.fashion-mnist.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The folder with the four files, fetched if need be.
source_folder() {
  local installed=/usr/share/datasets/fashion-mnist
  if [[ -n $from ]]; then
    echo "$from"
  elif [[ -e $installed/train-images-idx3-ubyte.gz ]]; then
    echo "$installed"
  else
    command -v apt-get >/dev/null || die "no apt-get here: get the four files of Fashion-MNIST and name their folder with --from"
    say "fetching Debian's package dataset-fashion-mnist (31 MB)"
    (cd "$work" && apt-get download dataset-fashion-mnist >/dev/null && dpkg-deb -x dataset-fashion-mnist_*.deb package) ||
      die "apt-get could not fetch dataset-fashion-mnist; name a folder with its four files by --from"
    echo "$work/package$installed"
  fi
}

# number FILE OFFSET: a big-endian number of four bytes.
number() { gzip -dc "$1" 2>/dev/null | tail -c "+$(($2 + 1))" 2>/dev/null | head -c 4 | od -An -t u1 | awk '{ print (($1 * 256 + $2) * 256 + $3) * 256 + $4 }' || true; }

# check FILE MAGIC ROWS BYTES: is it such a file, whole?
check() {
  [[ -r $1 ]] || die "$1 is missing"
  gzip -t "$1" 2>/dev/null || die "$1 is damaged (gzip -t)"
  [[ $(number "$1" 0) == "$2" ]] || die "$1: begins with $(number "$1" 0), a file of this kind with $2"
  [[ $(number "$1" 4) == "$3" ]] || die "$1: holds $(number "$1" 4) rows, Fashion-MNIST $3"
  [[ $(gzip -dc "$1" | wc -c) == "$4" ]] || die "$1: is not $4 bytes long when unpacked"
}

# rows IMAGES LABELS: a line LABEL<TAB>784 grey values an example.
rows() {
  paste <(gzip -dc "$2" | tail -c +9 | od -An -v -t u1 -w1 | tr -d ' ') \
        <(gzip -dc "$1" | tail -c +17 | od -An -v -t u1 -w784 | awk '{ $1 = $1; print }')
}

need_disk 400 "$work" "Fashion-MNIST as text"
folder=$(source_folder)
train=60000 test=10000 pixels=784
check "$folder/train-images-idx3-ubyte.gz" 2051 $train $((16 + train * pixels))
check "$folder/train-labels-idx1-ubyte.gz" 2049 $train $((8 + train))
check "$folder/t10k-images-idx3-ubyte.gz" 2051 $test $((16 + test * pixels))
check "$folder/t10k-labels-idx1-ubyte.gz" 2049 $test $((8 + test))
mkdir "$work/out"
say "writing $out"
rows "$folder"/train-{images-idx3,labels-idx1}-ubyte.gz >"$work/all.tsv"
head -n $((train - validation)) "$work/all.tsv" >"$work/out/train.tsv"
tail -n $validation "$work/all.tsv" >"$work/out/val.tsv"
rows "$folder"/t10k-{images-idx3,labels-idx1}-ubyte.gz >"$work/out/test.tsv"
for split in train:$((train - validation)) val:$validation test:$test; do
  [[ $(wc -l <"$work/out/${split%%:*}.tsv") == "${split##*:}" ]] || die "${split%%:*}.tsv came out with a wrong number of rows: is the disk full?"
done
mv "$work/out" "$out"
say "done: lotformer-train --config fashion_mnist.yaml --set data.root=$out"
