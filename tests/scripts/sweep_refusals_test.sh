#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# scripts/sweep.sh before its first cell, with a stand-in for the program: mistakes in arguments, configurations, data and devices, and what
# a sweep description may say.
# shellcheck disable=SC2016  # text that must not be expanded
set -euo pipefail
# shellcheck source=tests/scripts/sweep_support.sh
source "$(dirname "${BASH_SOURCE[0]}")/sweep_support.sh"

modules_and_tasks_exist() {
  touch "$STAND_IN/no-config-pathfinder64" "$STAND_IN/no-data-text"
  refused "must be one of softmax, mean, none, got 'foo'" --tasks "listops text pathfinder64" --attention "foo mean" --jobs 2
  # All of them at once, each once, and with those whom it concerns.
  expect_text err.txt "lra/pathfinder64.yaml: file not found  [pathfinder64 foo, pathfinder64 mean]"
  expect_text err.txt "files of text: not found  [text mean]"
  expect "$(grep -c '^error: ' err.txt)" = 3
  refused "must be one of" --attention foo --dry-run
  refused "no such device" --attention mean --devices "cpu cuda:9"
  expect_text err.txt "[listops mean on cuda:9]"
  touch "$STAND_IN/no-data-listops"
  refused "no such device" --attention mean --device cuda:9
  expect_text err.txt "files of listops: not found"
}

data_that_would_be_made_are_not_asked_for() {
  touch "$STAND_IN/no-data-listops" "$STAND_IN/generates-listops"
  run 0 --attention mean --dry-run
  expect_no_text err.txt "data of listops"
  # Where there are some, they are.
  mkdir -p "$STAND_IN/data/lra_release/listops-1000"
  touch "$STAND_IN/data/lra_release/listops-1000/basic_train.tsv"
  refused "files of listops: not found" --attention mean
}

arguments_fit_together() {
  refused "--jobs 0: a whole number" --jobs 0
  refused "--jobs 1 is less than the 2 devices" --jobs 1 --devices "cpu cpu"
  refused "--device and --devices: one of them" --device cpu --devices cpu
  refused "device 'gpu' is none of" --devices "cuda:0 gpu"
  refused "--device takes one device" --device "cuda:0 cuda:1"
  refused "--jobs and --devices have no meaning with --slurm" --jobs 2 --slurm ""
  refused "two sweep descriptions" a.yaml b.yaml
  refused "nothing.yaml: no such sweep description" nothing.yaml
  refused "--cell listops/mean/seed-7 is not in this sweep" --cell listops/mean/seed-7
  # Several mistakes of several kinds.
  refused "seed 'x' is not a whole number" --seeds x --attention "mean mean" --jobs none
  expect_text err.txt "attention mean is listed twice"
  expect_text err.txt "--jobs none: a whole number"
}

# described TEXT ARGUMENTS...: what a dry run says about the description TEXT.
described() {
  printf '%b' "$1" >some.yaml
  shift
  run 0 some.yaml --dry-run "$@"
}
a_description_is_read() {
  described '# All of it.\nout: elsewhere\nconfigs: lra/smoke   # a folder\ntasks: [listops, "text"]\nattention:\n  - mean   # a control\n  - none\nseeds: [0, 1]\njobs: 2\nset:\n- train.steps=5\n  - mean:train.lr=1e-3\n  - "data.root=a # b: c"\n'
  expect "$(wc -l <out.txt)" = 8
  expect_text out.txt "--config lra/smoke/text.yaml --set model.attention.kind=mean --set train.steps=5 --set data.root=a\\ #\\ b:\\ c --set train.lr=1e-3 --set train.seed=1"
  expect_text out.txt "--run-dir out/text/none/seed-0"
  # The command line wins; its settings come behind.
  described 'tasks: [listops]\nattention: [mean]\ndevices: [cuda:0, cuda:1]\nset:\n  - train.steps=5' --tasks text --device cpu --set train.steps=6
  expect "$(cat out.txt)" = "$LOTFORMER_TRAIN --config lra/text.yaml --set model.attention.kind=mean --set train.steps=5 --set train.steps=6 --set train.seed=0 --run-dir out/text/mean/seed-0 --json --device cpu "
  # Those of the project are found by their names.
  run 0 lra.yaml --dry-run
  expect "$(wc -l <out.txt)" = 105
  run 0 lra-smoke.yaml --dry-run
  expect "$(wc -l <out.txt)" = 105
}

# wrong TEXT MESSAGE...: the description is refused with each of the messages.
wrong() {
  local text=$1 message
  shift
  printf '%b' "$text" >some.yaml
  for message; do refused "$message" some.yaml; done
  expect "$(grep -c '^error: some.yaml' err.txt)" = $#
}
a_description_is_strict() {
  wrong 'task: listops\n' "some.yaml:1: unknown key 'task'; known are tasks attention seeds devices set out configs device jobs"
  wrong 'tasks: [listops]\ntasks: [text]\n' "some.yaml:2: 'tasks' stands in line 1 already"
  wrong 'tasks:\nseeds: [0]\n' "some.yaml:1: tasks: nothing follows"
  wrong 'tasks: []\n' "some.yaml:1: tasks: an empty list"
  wrong 'tasks: [a, , b]\n' "some.yaml:1: tasks: an empty value"
  wrong 'tasks: [a, [b]]\n' "some.yaml:1: '[b]' means something else in YAML"
  wrong 'jobs: [1, 2]\n' "some.yaml:1: '[1, 2]' means something else"
  wrong 'tasks: listops text\n' "some.yaml:1: tasks: 'listops text': one name an entry"
  wrong 'set: train.steps\n' "some.yaml:1: set: 'train.steps' is not KEY=VALUE"
  wrong 'set:\n  - a.b=c: d\n' "some.yaml:2: 'a.b=c: d' means something else in YAML"
  wrong 'set:\n  train.steps: 5\n' "some.yaml:2: not understood" "some.yaml:1: set: nothing follows"
  wrong 'tasks:\n\t- listops\n' "some.yaml:2: a tab" "some.yaml:1: tasks: nothing follows"
  wrong 'tasks: [listops]\r\n' "some.yaml:1: a tab or a carriage return"
  wrong '- listops\n' "some.yaml:1: not understood: '- listops'"
  wrong 'tasks: [listops]\n  - text\n' "some.yaml:2: not understood"
  wrong 'tasks: "a' "some.yaml:1: '\"a' means something else"
  wrong 'out: $(touch hit)\nnonsense: &x [1]\njobs: "a\\"b"\n' "some.yaml:2: unknown key 'nonsense'" "some.yaml:3: quotes and backslashes inside quotes"
  expect ! -e hit
}

# A file system without locks is no other sweep, and is said.
a_place_without_locks() {
  local code
  mkdir -p path
  for code in 71 65 1; do
    # The stand-in's own lock works.
    printf '#!/bin/sh\ncase "$*" in "-n 8") exec /usr/bin/flock -n 8 ;; esac\nexit %s\n' "$code" >path/flock
    chmod +x path/flock
    rm -rf out
    if ((code == 1)); then
      PATH=$folder/path:$PATH run 1 --attention mean
      expect_text err.txt "another sweep works in this folder"
      expect ! -s out/cells.csv
    else
      PATH=$folder/path:$PATH run 0 --attention mean
      expect_text err.txt "warning: out cannot be locked (flock ends with $code)"
      expect -s out/cells.csv
    fi
  done
}

run_cases a_place_without_locks modules_and_tasks_exist data_that_would_be_made_are_not_asked_for arguments_fit_together a_description_is_read a_description_is_strict
