// SPDX-License-Identifier: MIT
// Keys of the sections train and eval.
#include "lotformer/config/config.h"

namespace lotformer {
namespace {

// Far above sensible use, as in config.cpp.
constexpr double kMaxSteps = 1e9;
constexpr double kMaxBatch = 1e6;

}  // namespace

void TrainConfig::visit(FieldVisitor& visitor) {
  const Range unit = {.low = 0, .high = 1};
  const Range below_one = {.low = 0, .high = 1, .high_open = true};
  visitor.field({.key = "steps", .help = "optimiser steps", .range = {.low = 1, .high = kMaxSteps}}, steps);
  visitor.field(
      {.key = "batch_size", .help = "examples in an optimiser step", .range = {.low = 1, .high = kMaxBatch}},
      batch_size);
  visitor.field({.key = "accumulate",
                 .help = "chunks a batch is split into to save memory",
                 .range = {.low = 1, .high = kMaxBatch}},
                accumulate);
  visitor.field({.key = "microbatch",
                 .help = "out of memory in a training step; fixed: end with code 7; auto: do the step again "
                         "in twice as many chunks as often as it takes, and go on so. Results say how many. "
                         "Performer draws its features anew for each chunk",
                 .choices = {"fixed", "auto"},
                 .bookkeeping = true},
                microbatch);
  visitor.field(
      {.key = "lr", .help = "peak learning rate", .range = {.low = 0, .high = 1000, .low_open = true}}, lr);
  visitor.field({.key = "lr_floor", .help = "cosine decay ends at lr * lr_floor", .range = unit}, lr_floor);
  visitor.field(
      {.key = "warmup_steps", .help = "steps of linear warm-up", .range = {.low = 0, .high = kMaxSteps}},
      warmup_steps);
  visitor.field({.key = "warmup_start", .help = "warm-up begins at lr * warmup_start", .range = unit},
                warmup_start);
  visitor.field({.key = "beta1", .help = "AdamW: decay of the mean of gradients", .range = below_one}, beta1);
  visitor.field({.key = "beta2", .help = "AdamW: decay of the mean of squared gradients", .range = below_one},
                beta2);
  visitor.field({.key = "adam_epsilon",
                 .help = "AdamW: added to the root of the second moment",
                 .range = {.low = 0, .high = 1, .low_open = true}},
                adam_epsilon);
  visitor.field(
      {.key = "weight_decay", .help = "AdamW: decoupled weight decay", .range = {.low = 0, .high = 1000}},
      weight_decay);
  visitor.field({.key = "clip",
                 .help = "bound on the global gradient norm; 0: no clipping",
                 .range = {.low = 0, .high = 1e9}},
                clip);
  visitor.field(
      {.key = "seed", .help = "of parameters, dropout and the order of samples", .range = {.low = 0}}, seed);
  visitor.field({.key = "precision",
                 .help = "arithmetic of the forward pass; auto: fp32 on a CPU, bf16 on CUDA",
                 .choices = {"auto", "fp32", "bf16", "fp16"}},
                precision);
  visitor.field({.key = "log_every",
                 .help = "steps between lines of metrics.jsonl",
                 .range = {.low = 1, .high = kMaxSteps},
                 .bookkeeping = true},
                log_every);
  visitor.field({.key = "eval_every",
                 .help = "steps between evaluations; 0: only at the last step",
                 .range = {.low = 0, .high = kMaxSteps}},
                eval_every);
  visitor.field(
      {.key = "checkpoint_every",
       .help = "steps between checkpoints; 0: only when an evaluation is best, at signals and at the end",
       .range = {.low = 0, .high = kMaxSteps},
       .bookkeeping = true},
      checkpoint_every);
  visitor.field({.key = "diagnostics_every",
                 .help = "steps between diagnostics of the attention maps in metrics.jsonl; 0: never",
                 .range = {.low = 0, .high = kMaxSteps},
                 .bookkeeping = true},
                diagnostics_every);
  visitor.field(
      {.key = "plateau_steps",
       .help = "step at which a run that has learned nothing beyond the best constant answer says so, "
               "once; results of runs at least so long hold `learned`; 0: never",
       .range = {.low = 0, .high = kMaxSteps},
       .bookkeeping = true},
      plateau_steps);
  visitor.field({.key = "keep",
                 .help = "newest checkpoints kept beside the best",
                 .range = {.low = 1, .high = kMaxBatch},
                 .bookkeeping = true},
                keep);
  visitor.field({.key = "threads",
                 .help = "CPU threads; 0: as many as the affinity mask, the control group's quota and "
                         "OMP_NUM_THREADS allow",
                 .range = {.low = 0, .high = 4096},
                 .bookkeeping = true},
                threads);
  visitor.field({.key = "tensorboard",
                 .help = "what metrics.jsonl gets also goes to RUN/tensorboard, with masses and plans of "
                         "pivots at each evaluation",
                 .bookkeeping = true},
                tensorboard);
  visitor.field(
      {.key = "graph",
       .help = "whether steps run as recorded CUDA graphs; auto: on a GPU, where recording works; on: an "
               "error where it does not (on a CPU the same code runs from fixed buffers, for tests)",
       .choices = {"auto", "on", "off"},
       .bookkeeping = true},
      graph);
  visit_nonfinite(visitor);
}

void TrainConfig::visit_nonfinite(FieldVisitor& visitor) {
  visitor.field({.key = "on_nonfinite",
                 .help = "at a loss or gradient that is not finite; stop: end with code 6; skip: leave the "
                         "update out; rollback: go on from the newest checkpoint with a smaller learning "
                         "rate and without the batches that led there. What was done stands in results",
                 .choices = {"stop", "skip", "rollback"},
                 .bookkeeping = true},
                on_nonfinite);
  visitor.field({.key = "nonfinite_limit",
                 .help = "skip: non-finite steps in a row that end the run; rollback: rollbacks after which "
                         "the next blow-up does",
                 .range = {.low = 1, .high = kMaxBatch},
                 .bookkeeping = true},
                nonfinite_limit);
  visitor.field({.key = "rollback_lr",
                 .help = "factor of the learning rate from each rollback on",
                 .range = {.low = 0, .high = 1, .low_open = true},
                 .bookkeeping = true},
                rollback_lr);
  visitor.field({.key = "rollback_window",
                 .help = "batches that a rollback leaves out, the last of them the one that blew up; 0: all "
                         "since the checkpoint",
                 .range = {.low = 0, .high = kMaxSteps},
                 .bookkeeping = true},
                rollback_window);
}

void EvalConfig::visit(FieldVisitor& visitor) {
  visitor.field({.key = "batch_size",
                 .help = "examples scored at once (with drop_last it decides which, and is no bookkeeping)",
                 .range = {.low = 1, .high = kMaxBatch},
                 .bookkeeping = !drop_last},
                batch_size);
  visitor.field({.key = "max_examples",
                 .help = "score so many examples of a split, at equal distances; 0: every example",
                 .range = {.low = 0, .high = 1e12}},
                max_examples);
  visitor.field(
      {.key = "drop_last", .help = "leave a last partial batch unscored, as the LOTFormer code does"},
      drop_last);
}

}  // namespace lotformer
