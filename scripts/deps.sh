#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what the build needs and this machine lacks, and nothing else; where all is there it takes a fraction of a second.
#   system packages   apt-get on Debian and Ubuntu as root (or with sudo that asks for no password), else one line says what to install
#   LibTorch          the wheels pinned in scripts/pins, into $LOTFORMER_DEPS_DIR (default .deps), unless CMAKE_PREFIX_PATH has a LibTorch
#   CMake             the pinned wheel, where the system's is older than 3.24
#   Plotly            the pinned wheel: its JavaScript becomes part of lotformer-report. Without it the page has no pictures, so its absence stops nothing
#   nvdisasm          with --disassembler: the pinned wheel, for scripts/dev/kernel_cycles.py
# LOTFORMER_CUDA=OFF leaves out what only CUDA needs. No stamp file: each thing is looked at, so that nothing stale is believed.
set -euo pipefail
# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

disassembler=
case ${1:-} in
  "") ;;
  --disassembler) disassembler=yes ;;
  -h | --help) script_help; exit ;;
  *) say "error: $1: deps.sh takes --disassembler or nothing"; exit 2 ;;
esac
torch_folder=$deps/torch-2.11.0
log=$deps/set-up.log
work=            # the folder of a fetch under way

# --- system packages ---------------------------------------------------------------------------------------------------------------
# header:package
headers=(yaml-cpp/yaml.h:libyaml-cpp-dev spdlog/spdlog.h:libspdlog-dev CLI/CLI.hpp:libcli11-dev
         nlohmann/json.hpp:nlohmann-json3-dev xxhash.h:libxxhash-dev png.h:libpng-dev)

# Prints the folders that CMAKE_PREFIX_PATH names, from the environment and from LOTFORMER_CMAKE_ARGS.
prefixes() {
  local words=${CMAKE_PREFIX_PATH:-}
  if [[ ${LOTFORMER_CMAKE_ARGS:-} =~ -DCMAKE_PREFIX_PATH(:[A-Z]+)?=([^[:space:]]+) ]]; then
    words+=:${BASH_REMATCH[2]}
  fi
  tr ':;' '\n' <<<"$words" | sed '/^$/d'
}

# Prints the packages whose headers the compiler does not find.
missing_headers() {
  local entry includes=()
  while read -r entry; do
    includes+=(-isystem "$entry/include")
  done < <(prefixes)
  {
    for entry in "${headers[@]}"; do
      printf '#if !__has_include(<%s>)\nMISSING %s\n#endif\n' "${entry%%:*}" "${entry#*:}"
    done
    printf '#if !__has_include(<catch2/catch.hpp>) && !__has_include(<catch2/catch_all.hpp>)\nMISSING catch2\n#endif\n'
  } | "${CXX:-c++}" -std=c++17 -E -P "${includes[@]}" -x c++ - | sed -n 's/^MISSING //p'
}

missing_packages() {
  if command -v "${CXX:-c++}" >/dev/null; then
    missing_headers
  else
    echo g++ catch2 "${headers[@]#*:}"
  fi
  command -v cmake >/dev/null || echo cmake
  command -v ninja >/dev/null || echo ninja-build
  if [[ -n $(missing_wheels) ]]; then
    command -v unzip >/dev/null || echo unzip
    python3 -m pip --version >/dev/null 2>&1 || echo python3-pip ca-certificates
  fi
}

install_system_packages() {
  local missing privilege=()
  read -r -d '' -a missing < <(missing_packages; printf '\0') || true
  ((${#missing[@]} > 0)) || return 0
  command -v apt-get >/dev/null ||
    die "please install what these Debian packages stand for, then run this again: ${missing[*]}"
  if [[ $(id -u) != 0 ]]; then
    sudo -n true 2>/dev/null || die "please run 'sudo apt-get install -y ${missing[*]}', then this again."
    privilege=(sudo -n)
  fi
  say "    installing: ${missing[*]} (log: $log)"
  # Lists that cannot be refreshed are no reason to stop: the installation says whether they were needed.
  "${privilege[@]}" apt-get update >>"$log" 2>&1 || true
  "${privilege[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends \
    "${missing[@]}" >>"$log" 2>&1 </dev/null || {
    grep -E '^(E|Err):' "$log" | tail -n 3 >&2 || true
    die "apt-get could not install ${missing[*]}: is the network there? The whole output is in $log."
  }
}

# --- wheels ------------------------------------------------------------------------------------------------------------------------
# Does CMAKE_PREFIX_PATH hold a LibTorch? The same places as scripts/cmake/LotformerTorch.cmake.
libtorch_is_given() {
  local prefix suffix
  while read -r prefix; do
    for suffix in . torch libtorch ../..; do
      if [[ -e $prefix/$suffix/include/torch/script.h && -e $prefix/$suffix/lib/libtorch_cpu.so ]]; then
        return 0
      fi
    done
  done < <(prefixes)
  return 1
}

# has_wheel FOLDER NAME==VERSION: is it unpacked there? Its dist-info folder comes last.
has_wheel() {
  local name=${2%%==*}
  [[ -d $1/${name//-/_}-${2##*==}.dist-info ]]
}

# Prints the pins (lines) of FILE that are not unpacked in FOLDER.
absent_pins() {
  local line
  while read -r line; do
    [[ $line == \#* ]] || has_wheel "$1" "${line%% *}" || echo "$line"
  done <"$2"
}

# Where a toolkit's libraries may lie.
library_folders() {
  local toolkit
  toolkit=$(dirname "$(dirname "$(readlink -f "$1")")")
  printf '%s\n' "$toolkit"/{lib64,lib,targets/x86_64-linux/lib}
  tr ':' '\n' <<<"${LD_LIBRARY_PATH:-}"
}

# Prints the pins of libtorch-cuda.txt whose library neither the loader nor the toolkit has.
missing_cuda_pins() {
  local nvcc folders known line library folder
  nvcc=$(find_nvcc)
  [[ -n $nvcc && ${LOTFORMER_CUDA:-AUTO} != OFF ]] || return 0
  [[ $("$nvcc" --version) == *"release 13."* ]] || return 0   # another CUDA than LibTorch's: the build says so and leaves CUDA out
  mapfile -t folders < <(library_folders "$nvcc")
  known=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p)
  while read -r line; do
    library=$(awk '{ print $(NF - 1) }' <<<"$line")
    for folder in "${folders[@]}"; do
      [[ -n $folder && -e $folder/$library ]] && continue 2
    done
    [[ $known == *"$library "* ]] || echo "$line"
  done < <(absent_pins "$torch_folder" "$root/scripts/pins/libtorch-cuda.txt")
}

missing_torch_pins() {
  libtorch_is_given && return 0
  absent_pins "$torch_folder" "$root/scripts/pins/libtorch-cpu.txt"
  missing_cuda_pins
}

missing_cmake_pins() {
  if command -v cmake >/dev/null && ! cmake_is_new_enough; then
    absent_pins "$deps/cmake-3.31.6" "$root/scripts/pins/cmake.txt"
  fi
}

missing_plotly_pins() {
  absent_pins "$deps/plotly-7.1.0" "$root/scripts/pins/plotly.txt"
}

missing_disassembler_pins() {
  [[ -n $disassembler ]] || return 0
  absent_pins "$deps/nvdisasm-13.5.37" "$root/scripts/pins/nvdisasm.txt"
}

missing_wheels() {
  missing_torch_pins
  missing_cmake_pins
  missing_plotly_pins
  missing_disassembler_pins
}

# Prints in a few words why pip failed; $1: its log.
pip_failure() {
  case $(<"$1") in
    *"DO NOT MATCH THE HASHES"*) echo "a wheel does not match its pinned hash: damaged on the way, or a mirror with other files" ;;
    *CERTIFICATE_VERIFY_FAILED*) echo "the certificate of the package index is not trusted (PIP_CERT names another bundle)" ;;
    *NameResolutionError* | *"Failed to establish a new connection"* | *"timed out"* | *ProxyError* | *"Network is unreachable"*)
      echo "the package index cannot be reached: check the network (PIP_INDEX_URL names a mirror)" ;;
    *"No space left"*) echo "the disk is full" ;;
    *) grep -E '^ERROR' "$1" | tail -n 1 || true ;;
  esac
}

# pip download into FOLDER $2 of the pins in $1; pip verifies the hashes.
pip_download() {
  local platform platforms=()
  for platform in manylinux_2_28 manylinux_2_27 manylinux_2_25 manylinux_2_18 manylinux_2_17 manylinux2014 manylinux_2_12 manylinux2010; do
    platforms+=(--platform "${platform}_x86_64")
  done
  TMPDIR=$2 python3 -m pip --disable-pip-version-check download --no-cache-dir --no-deps --only-binary=:all: --require-hashes \
    --python-version 3.11 --implementation cp --abi cp311 "${platforms[@]}" -r "$1" -d "$2" "${@:3}" 2>"$2/pip.log"
}

# fetch PINS FOLDER: with pip's progress bar on a terminal, a line for each wheel elsewhere.
fetch() {
  local status=0
  if [[ -t 2 ]]; then
    pip_download "$1" "$2" >&2 || status=$?
  else
    pip_download "$1" "$2" --progress-bar off | { grep --line-buffered Downloading >&2 || true; } || status=$?
  fi
  if ((status != 0)); then
    cat "$2/pip.log" >>"$log"
    die "fetching $(sed 's/ .*//' "$1" | paste -sd ' ') failed: $(pip_failure "$2/pip.log"). Another way: put a LibTorch on CMAKE_PREFIX_PATH."
  fi
}

# unpack WHEEL FOLDER: what compiling and linking needs, and the licences.
unpack() {
  case $(basename "$1") in
    torch-*) unzip -q -o "$1" 'torch/lib/*' 'torch/include/*' 'torch/share/*' '*.dist-info/*' -x 'torch/lib/libtorch_python.so' -d "$2" ;;
    plotly-*) unzip -q -o "$1" 'plotly/package_data/plotly.min.js' '*.dist-info/*' -d "$2" ;;
    nvidia_*) unzip -q -o "$1" -x '*.a' '*.bc' -d "$2" ;;
    *) unzip -q -o "$1" -d "$2" ;;
  esac >>"$log" 2>&1 || die "could not unpack $(basename "$1") in $2: see $log (is the disk full?)."
}

# install_wheels PINS FOLDER: fetches and unpacks beside FOLDER, then moves into place, the dist-info folders last.
install_wheels() {
  local pins=$1 folder=$2 wheel size
  size=$(awk '{ sum += $NF } END { print sum }' <<<"$pins")
  need_disk $((size * 7 / 2)) "$deps" "fetching $(basename "$folder") ($size MB)"
  say "    fetching $(wc -l <<<"$pins") wheel(s) for $(basename "$folder"), $size MB"
  work=$(mktemp -d "$deps/.fetch.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  printf '%s\n' "$pins" >"$work/pins.txt"
  mkdir "$work/wheels" "$work/tree"
  fetch "$work/pins.txt" "$work/wheels"
  for wheel in "$work"/wheels/*.whl; do
    unpack "$wheel" "$work/tree"
    rm "$wheel"
  done
  mkdir "$work/info"
  mv "$work"/tree/*.dist-info "$work/info"
  mkdir -p "$folder"
  cp -rlf "$work/tree/." "$folder/"     # hard links: no second copy
  cp -rlf "$work/info/." "$folder/"
  rm -rf "$work"
}

# One process at a time fills the folder; what a killed one left behind is swept away.
install_missing_wheels() {
  local pins
  [[ -n $(missing_wheels) ]] || return 0
  exec 9>"$deps/.lock"
  try_lock 9 "$deps" || {
    say "    another process is filling $deps: waiting for it"
    flock 9
  }
  rm -rf "$deps"/.fetch.*
  pins=$(missing_torch_pins)
  [[ -z $pins ]] || install_wheels "$pins" "$torch_folder"
  pins=$(missing_cmake_pins)
  [[ -z $pins ]] || install_wheels "$pins" "$deps/cmake-3.31.6"
  pins=$(missing_plotly_pins)
  if [[ -n $pins ]]; then
    set +e
    (set -e; install_wheels "$pins" "$deps/plotly-7.1.0")
    status=$?
    set -e
    ((status == 0)) || say "    no Plotly: the page of lotformer-report will have tables and no pictures"
  fi
  pins=$(missing_disassembler_pins)
  [[ -z $pins ]] || install_wheels "$pins" "$deps/nvdisasm-13.5.37"
  exec 9>&-
}

[[ $(uname -sm) == "Linux x86_64" ]] || die "this set-up knows Linux on x86_64 only, this is $(uname -sm)."
install_system_packages
install_missing_wheels
