# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The stages of scripts/gpu_session.sh, which sets and exports: tools (the folder of the programs), work (a folder for everything), out (what is brought back), dry (not
# empty: no GPU), device, seconds (for all stages together). Sourced, never run.
# shellcheck disable=SC2154  # those
failed=()
modules=(lotformer softmax performer sinkformer espformer)
# Sizes of a real session, and of a dry run.
sized() { if [[ -n $dry ]]; then echo "$2"; else echo "$1"; fi; }
tiny_batch=() tiny_tokens=()
# Called once dry is known, in every process.
set_sizes() {
  [[ -n $dry ]] || return 0
  tiny_batch=(--set train.batch_size=2) tiny_tokens=(--set data.max_length=64)
}

# say_line NAME KIND [KEY=JSON...]: a line of the report.
say_line() {
  local name=$1 kind=$2 text
  shift 2
  text="\"kind\": \"$kind\""
  for word; do
    text+=", \"${word%%=*}\": ${word#*=}"
  done
  echo "{$text}" >>"$work/lines/$name.jsonl"
}

# Writes again what is brought back. Nothing that goes wrong here ends the session; tar's "file changed as we read it" is no error.
bring_back() {
  python3 "$root/scripts/dev/gpu_report.py" collect "$work" ${dry:+--emulated} >>"$work/logs/report.log" 2>&1 || true
  if [[ -f $work/report.json ]]; then
    { cp "$work/report.json" "$out/report.json.part" && mv "$out/report.json.part" "$out/report.json"; } || return 0
  fi
  tar -C "$work" --exclude='*.safetensors' --exclude=./data --exclude=./programs -czf "$out/session.tar.gz.part" . 2>>"$work/logs/report.log" || (($? == 1)) || return 0
  mv "$out/session.tar.gz.part" "$out/session.tar.gz" || true
}

# time_left: seconds for stages, less what the last report and archive take.
reserve=20
time_left() { echo $((seconds - reserve - SECONDS)); }

# run NAME LIMIT COMMAND...: JSON lines of stdout into lines/NAME.jsonl, everything else into logs/NAME.log; goes on after a failure and remembers it.
# LIMIT in seconds, less where less is left. A command that reaches it gets TERM, and five seconds later what is left of its process group gets KILL.
# Codes in ok_codes pass, too. `started`: whether there was time for it.
run() {
  local name=$1 limit=$2 start=$SECONDS code=0 passed=true group
  shift 2
  say "==> $name"
  ((limit < $(time_left))) || limit=$(time_left)
  if ((limit < 3)); then
    failed+=("$name")
    say "    $name: no time left"
    say_line stages stage "name=\"$name\"" "exit_code=null" "passed=false" "reason=\"no time left\"" "seconds=0"
    started=''
    return
  fi
  started=yes
  setsid timeout "$limit" "$@" >>"$work/lines/$name.jsonl" 2>"$work/logs/$name.log" & group=$!
  wait $group || code=$?
  if kill -TERM -- "-$group" 2>/dev/null; then   # something of it is still there
    for _ in 1 2 3 4 5 6 7 8 9 10; do
      kill -0 -- "-$group" 2>/dev/null || break
      sleep 0.5
    done
    kill -KILL -- "-$group" 2>/dev/null || true
  fi
  [[ " 0 ${ok_codes:-} " == *" $code "* ]] || { passed=false; failed+=("$name"); }
  say "    $name: $((SECONDS - start)) s$( ((code == 0)) || echo ", exit code $code: $(tail -n 1 "$work/logs/$name.log" | cut -c 1-200)")"
  say_line stages stage "name=\"$name\"" "exit_code=$code" "passed=$passed" "seconds=$((SECONDS - start))"
  bring_back
}

# left_out NAME WHY
left_out() {
  say "==> $1: left out: $2"
  say_line stages left_out "name=\"$1\"" "reason=\"$2\""
}

# train RUN ARGUMENTS...: a training without waiting for anything else; its results are a line.
train() {
  local name=$1
  shift
  "$tools/lotformer-train" --run-dir "$work/runs/$name" --json "$@" | sed "s/^{/{\"kind\": \"training\", \"name\": \"$name\", /"
}

# Machine, libraries and modules, and on a GPU a sum through NCCL.
look_at_machine() {
  "$tools/lotformer-doctor" --device "$device" --root "$work/data" --runs "$work/runs" --json | sed 's/^{/{"kind": "doctor", /'
}

# --- data --------------------------------------------------------------------------------------------------------------------------
make_data() {
  local task sizes
  if [[ -n $dry ]]; then
    "$tools/lotformer-data" generate --task listops --root "$work/data/listops" --train 300 --val 40 --test 40 --min-length 10 --max-length 200 --max-depth 4 --max-args 4
  else
    "$tools/lotformer-data" generate --task listops --root "$work/data/listops"
  fi
  for task in text retrieval image pathfinder32; do
    sizes=(--train "$(sized 2000 40)")
    [[ $task == pathfinder32 ]] || sizes+=(--test "$(sized 200 8)")   # which is divided when it is read
    [[ $task != retrieval ]] || sizes+=(--val 40)
    "$tools/lotformer-data" generate --task "$task" --root "$work/data/$task" "${sizes[@]}"
  done
}

# --- the framework on the device: every module trains, resumes to the same bytes, and is scored as it was logged ----------------------
small=(--config lra/listops.yaml --set "data.generate_missing=false" --set train.warmup_steps=2 --set train.eval_every=0 --set train.log_every=5
       --set eval.max_examples=64 --set train.threads=1)

same_files() { cmp -s "$1" "$2"; }

# same_weights KIND A B. torch's fused softmax sums gradients in no fixed order on a GPU; everything else leaves the same bytes.
same_weights() {
  if [[ $1 != softmax || -n $dry ]]; then
    same_files "$2" "$3"
    return
  fi
  python3 - "$2" "$3" <<'PY'
import json, struct, sys

def numbers(path):
    with open(path, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        header, data = json.loads(file.read(size)), file.read()
    return {name: struct.unpack(f"<{(t['data_offsets'][1] - t['data_offsets'][0]) // 4}f", data[slice(*t["data_offsets"])])
            for name, t in header.items() if name != "__metadata__" and t["dtype"] == "F32"}

a, b = map(numbers, sys.argv[1:])
sys.exit(0 if a.keys() == b.keys() and all(abs(x - y) <= 1e-3 for name in a for x, y in zip(a[name], b[name])) else 1)
PY
}

# check_module KIND: 2 n steps at once, and n steps, a restart and n more.
check_module() {
  local kind=$1 n steps whole half
  n=$(sized 10 2)
  steps=$((2 * n))
  local common=("${small[@]}" --set "data.root=$work/data/listops" --set "model.attention.kind=$kind" "${tiny_batch[@]}" --device "$device"
                --set "train.checkpoint_every=$n")
  whole=$work/runs/$kind-whole half=$work/runs/$kind-half
  train "$kind-whole" "${common[@]}" --set "train.steps=$steps" || return 1
  # A stop at half of the way: the checkpoint of step n continues.
  mkdir -p "$half"
  cp -r "$whole/." "$half/"
  rm -rf "$half/results.json" "$half/checkpoints/"*"$steps"*
  train "$kind-half" "${common[@]}" --set "train.steps=$steps" || return 1
  local resumed=true evaluated=true checkpoint
  for checkpoint in "$whole"/checkpoints/*; do
    same_weights "$kind" "$checkpoint/model.safetensors" "$half/checkpoints/${checkpoint##*/}/model.safetensors" || resumed=false
  done
  "$tools/lotformer-eval" "$whole" --device "$device" --json --checkpoint last >"$work/runs/$kind-eval.json" || evaluated=false
  python3 - "$work/runs/$kind-eval.json" <<'PY' || evaluated=false
import json, sys
score = json.load(open(sys.argv[1]))
logged = score["logged"]
sys.exit(0 if logged and abs(logged["loss"] - score["loss"]) <= 1e-9 and logged["accuracy"] == score["accuracy"] else 1)
PY
  echo "{\"kind\": \"framework\", \"check\": \"resume\", \"module\": \"$kind\", \"passed\": $resumed}"
  echo "{\"kind\": \"framework\", \"check\": \"eval\", \"module\": \"$kind\", \"passed\": $evaluated}"
  [[ $resumed$evaluated == truetrue ]]
}

# check_precision PRECISION
check_precision() {
  train "precision-$1" "${small[@]}" --set "data.root=$work/data/listops" --set "train.precision=$1" --set "train.steps=$(sized 20 2)" "${tiny_batch[@]}" \
    --set model.attention.token_masses=uniform --device "$device" && echo "{\"kind\": \"framework\", \"check\": \"precision\", \"module\": \"$1\", \"passed\": true}"
}

# The same losses with graphs and without, recordings that were really played back, and a step that cannot be recorded, which goes on without.
# Few shapes, so that each comes often: on a GPU batches of one width.
check_graph() {
  local way same=true recorded=true other=true
  local common=("${small[@]}" --set "data.root=$work/data/listops" --set "train.steps=$(sized 60 8)" "${tiny_batch[@]}" --set model.attention.token_masses=uniform
                --set data.pad_to=2000 --set train.log_every=20 --device "$device")
  for way in on off; do
    train "graph-$way" "${common[@]}" --set "train.graph=$way" 2>"$work/logs/graph-$way.log" || return 1
  done
  # On a CPU the two differ in how rows are laid out, so that only the GPU's bytes have to agree.
  [[ -n $dry ]] || same_files "$work/runs/graph-on/metrics.jsonl" "$work/runs/graph-off/metrics.jsonl" || same=false
  grep -q 'played back from recordings' "$work/logs/graph-on.log" || recorded=false
  # Plain tensor operations look at the device in every pass.
  train graph-aten "${common[@]}" --set train.graph=auto --set model.attention.core=aten --set "train.steps=$(sized 30 4)" 2>"$work/logs/graph-aten.log" || other=false
  [[ -n $dry ]] || grep -q 'cannot be recorded' "$work/logs/graph-aten.log" || other=false
  echo "{\"kind\": \"framework\", \"check\": \"graph: same bytes\", \"module\": \"lotformer\", \"passed\": $same}"
  echo "{\"kind\": \"framework\", \"check\": \"graph: played back\", \"module\": \"lotformer\", \"passed\": $recorded}"
  echo "{\"kind\": \"framework\", \"check\": \"graph: refused\", \"module\": \"lotformer\", \"passed\": $other}"
  [[ $same$recorded$other == truetruetrue ]]
}

# check_framework JOBS: so many at once; sixteen cores and one GPU have room for all. Each check's lines are in the report as soon as it is over.
check_framework() {
  local job code=0 running=0 jobs=("${modules[@]/#/check_module }" "check_precision fp32" "check_precision bf16" check_graph)
  [[ -n $dry ]] || jobs+=("check_precision fp16")   # which a CPU does not have
  for job in "${jobs[@]}"; do
    if ((running == $1)); then
      wait -n || code=1
      running=$((running - 1))
    fi
    # shellcheck disable=SC2086  # a function and its argument
    ($job) >"$work/lines/framework-${job// /-}.jsonl" 2>"$work/logs/framework-${job// /-}.log" &
    running=$((running + 1))
  done
  while ((running > 0)); do
    wait -n || code=1
    running=$((running - 1))
  done
  return $code
}

# --- steps and trainings ------------------------------------------------------------------------------------------------------------
# step_times TASK KINDS...
step_times() {
  local task=$1 data=$work/data/$1 tokens=()
  shift
  [[ $task == image || $task == pathfinder ]] || tokens=("${tiny_tokens[@]}")   # images are not cut
  [[ $task != pathfinder ]] || data=$work/data/pathfinder32
  "$tools/lotformer-bench" step --config "lra/$task.yaml" --set "data.root=$data" --set data.generate_missing=false --device "$device" --kinds "$@" --json \
    --rounds "$(sized 20 1)" --batches "$(sized 4 1)" "${tiny_batch[@]}" "${tokens[@]}" | sed "s/^{/{\"kind\": \"step\", /"
}
all_step_times() {
  local task code=0
  for task in listops text retrieval image pathfinder; do
    step_times "$task" lotformer softmax performer || code=1
  done
  # The CUDA core serves uniform masses of tokens.
  step_times_uniform || code=1
  return $code
}
step_times_uniform() {
  "$tools/lotformer-bench" step --config lra/listops.yaml --set "data.root=$work/data/listops" --set data.generate_missing=false --device "$device" --json \
    --set model.attention.token_masses=uniform --rounds "$(sized 20 1)" --batches "$(sized 4 1)" "${tiny_batch[@]}" |
    sed 's/^{/{"kind": "step", "note": "token_masses=uniform", /'
}
# long_training NAME ARGUMENTS...: until it ends or its time is up (the state is saved: exit code 75).
long_training() {
  local name=$1
  shift
  exec "$tools/lotformer-train" --config lra/listops.yaml --set "data.root=$work/data/listops" --set data.generate_missing=false --run-dir "$work/runs/$name" --device "$device" --json "$@"
}
# What a training of the session came to, finished or not: the last line of its metrics, and its speed.
say_training() {
  local name=$1 last
  [[ -f $work/runs/$name/metrics.jsonl ]] || return 0
  last=$(grep '"split":"train"' "$work/runs/$name/metrics.jsonl" | tail -n 1) || true
  [[ -n $last ]] || { failed+=("$name: no step was logged"); return 0; }
  cp "$work/runs/$name/metrics.jsonl" "$work/logs/$name-metrics.jsonl" || true
  cp "$work/runs/$name/timings.jsonl" "$work/logs/$name-timings.jsonl" 2>/dev/null || true
  say_line trainings long_training "name=\"$name\"" "last=${last:-null}" "results=$(tr -d '\n' <"$work/runs/$name/results.json" 2>/dev/null || echo null)"
}

# --- the order ----------------------------------------------------------------------------------------------------------------------
need_gpu() {
  nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.max.sm --format=csv,noheader >"$work/logs/gpu.txt" 2>/dev/null ||
    { say "error: no GPU: nvidia-smi finds none. --cpu-dry-run rehearses without one"; exit 8; }
  cat "$work/logs/gpu.txt" >&2
}

sanitize() {
  local tool=$1
  if ! command -v compute-sanitizer >/dev/null; then
    left_out "sanitizer-$tool" "compute-sanitizer is not installed"
    return
  fi
  run "sanitizer-$tool" 20 compute-sanitizer --tool "$tool" --error-exitcode 9 --kernel-regex kns=pivot_ --report-api-errors no --log-file "$work/logs/$tool.txt" \
    "$tools/pivot_check" smallest
}

all_stages() {
  local session=$root/scripts/gpu_session.sh name
  set_sizes
  [[ -n $dry ]] || need_gpu
  # Generation takes seconds of the CPU's time, beside the checks of the kernels.
  (make_data) >"$work/logs/data.log" 2>&1 & local data=$!
  if [[ -n $dry ]]; then
    run correctness 600 "$tools/pivot_check_emulated" results
  else
    run correctness 90 "$tools/pivot_check" results
    run capture 20 "$tools/pivot_check" capture
  fi
  wait $data || { failed+=(data); tail -n 2 "$work/logs/data.log" >&2; }
  run doctor 40 "$session" stage look_at_machine
  run framework "$(sized 50 900)" "$session" stage check_framework "$(sized 16 2)"
  if [[ -n $dry ]]; then
    for name in capture ceilings bench profile compiled sanitizers; do
      left_out "$name" "needs a GPU"
    done
  else
    run ceilings 10 "$tools/pivot_check" ceilings
    run bench 60 "$tools/pivot_check" bench --quick
    run profile-listops 8 "$tools/pivot_check" profile=listops
    run profile-pathfinder 8 "$tools/pivot_check" profile=pathfinder
  fi
  run steps "$(sized 45 900)" "$session" stage all_step_times
  # Stopped by the limit they have saved their state (75), and `timeout` says 124.
  local ok_codes='75 124'
  run listops-lotformer "$(sized 150 300)" "$session" stage long_training listops-lotformer --set "train.steps=$(sized 50000 6)" "${tiny_batch[@]}"
  [[ -z $started ]] || say_training listops-lotformer
  run listops-softmax "$(sized 45 300)" "$session" stage long_training listops-softmax --set model.attention.kind=softmax --set "train.steps=$(sized 50000 4)" \
    "${tiny_batch[@]}"
  [[ -z $started ]] || say_training listops-softmax
  ok_codes=''
  if [[ -z $dry ]]; then
    run compiled 35 python3 "$root/scripts/dev/gpu_compiled.py" --quick
    sanitize memcheck
    sanitize racecheck
  fi
  bring_back
}
