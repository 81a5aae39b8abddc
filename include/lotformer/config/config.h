// SPDX-License-Identifier: MIT
// Typed structs behind the YAML schema. The keys, ranges, defaults and help lines stand in
// src/config/config.cpp (visit functions).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lotformer/config/field.h"
#include "lotformer/core/data_options.h"

namespace lotformer {

/// The options that a task decides about, and how batches come about whatever the task is.
struct DataConfig final : Options, DataOptions {
  bool bucket = false;             // training batches of similar lengths
  int64_t prefetch = 2;            // batches made ahead by a thread; 0: none
  std::string on_device = "auto";  // auto | true | false: the split lives on the device
  void visit(FieldVisitor& visitor) override;
};

struct ModelConfig final : Options {
  int64_t layers = 2;
  int64_t dim = 64;
  int64_t heads = 2;
  int64_t head_dim = 0;  // 0: dim / heads (resolved by load_config; never 0 in a loaded Config)
  int64_t ff_dim = 128;
  double dropout = 0.1;
  std::string pooling = "mean";          // mean | cls | attention | padded_mean
  std::string position_init = "normal";  // normal | sinusoidal
  bool end_positions = false;            // a second table of positions, counted from the end
  void visit(FieldVisitor& visitor) override;
};

struct TrainConfig final : Options {
  int64_t steps = 50000;
  int64_t batch_size = 32;           // examples an optimiser step
  int64_t accumulate = 1;            // chunks a batch is split into
  std::string microbatch = "fixed";  // fixed | auto: more chunks where memory does not suffice
  double lr = 1e-4;
  double lr_floor = 0.4;  // cosine decays to lr * lr_floor
  int64_t warmup_steps = 5000;
  double warmup_start = 0.1;  // warm-up begins at lr * warmup_start
  double beta1 = 0.9;
  double beta2 = 0.98;
  double adam_epsilon = 1e-8;
  double weight_decay = 0;
  double clip = 5.0;  // global gradient norm; 0: no clipping
  int64_t seed = 0;
  std::string precision = "auto";  // auto (fp32 on a CPU, bf16 on CUDA) | fp32 | bf16 | fp16
  int64_t log_every = 10;
  int64_t eval_every = 1000;          // 0: only at the last step
  int64_t checkpoint_every = 1000;    // 0: only at evaluations that are best, signals and the end
  int64_t diagnostics_every = 0;      // 0: never
  int64_t plateau_steps = 2000;       // 0: never
  int64_t keep = 2;                   // newest checkpoints kept beside the best
  int64_t threads = 0;                // 0: usable_processors()
  bool tensorboard = false;           // event files beside metrics.jsonl
  std::string graph = "auto";         // auto (on a GPU, where it works) | on | off
  std::string on_nonfinite = "stop";  // stop | skip | rollback
  int64_t nonfinite_limit = 3;        // skip: steps in a row; rollback: returns of a run
  double rollback_lr = 0.5;           // factor of the learning rate at each rollback
  int64_t rollback_window = 0;        // batches left out, up to the one that blew up; 0: since the checkpoint
  void visit(FieldVisitor& visitor) override;

 private:
  void visit_nonfinite(FieldVisitor& visitor);
};

struct EvalConfig final : Options {
  int64_t batch_size = 32;
  int64_t max_examples = 0;  // 0: every example; else so many at equal distances, and results say so
  bool drop_last = false;    // true: a last partial batch is not scored (published harnesses)
  void visit(FieldVisitor& visitor) override;
};

struct Config {
  std::string task = "listops";
  std::string protocol = "default";  // default | lotformer | lra | skyformer
  DataConfig data;
  ModelConfig model;
  TrainConfig train;
  EvalConfig eval;
  std::string attention_kind = "lotformer";  // model.attention.kind
  std::shared_ptr<Options> attention;        // model.attention.*, typed by the kind
  std::string protocol_label =
      "default";  // what records show: the protocol, with " (modified)" where a given value differs
};

/// What `config` must know about the attention modules without depending on them (attention/registry fills
/// it).
struct AttentionKinds {
  std::vector<std::string> names;
  std::function<std::unique_ptr<Options>(const std::string& kind)> make;  // default options
};

/// What a configuration may choose among. Without tasks any name is taken, and no rule over tasks is applied.
struct Kinds {
  AttentionKinds attention;
  TaskKinds tasks;
};

}  // namespace lotformer
