// SPDX-License-Identifier: MIT
// What `config` and `data` both speak of, neither of which knows the other: the options that say how data are
// read, and what can be wrong with them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace lotformer {

/// The keys `data.*` whose meaning a task decides. A task that does not have an option wants its default.
struct DataOptions {
  /// Folder of the data, relative to the working directory.
  std::string root = "data/lra";
  /// Make missing files.
  bool generate_missing = false;
  /// Files and folders of the data may be links that lead out of the folder.
  bool follow_links = false;
  /// Tokens after which a sequence is cut; 0: the task's own.
  int64_t max_length = 0;
  /// 0: each batch to its longest; else every batch to this length.
  int64_t pad_to = 0;
  /// default | alnum | char | ids
  std::string tokenizer = "default";
  /// default | s4
  std::string vocab = "default";
  bool append_eos = false;
  /// Evaluate what can be evaluated (ListOps: every expression).
  bool verify_labels = false;
  /// text: test files, or a holdout of a tenth of the training files.
  std::string val = "test";
  /// image, pathfinder: default | tfds | torch42 | sequential
  std::string split = "default";
  /// image: default | pil
  std::string grey = "default";
  /// pathfinder: easy | intermediate | hard (contours of 6, 9, 14 dashes)
  std::string difficulty = "hard";
  /// image, pathfinder: official files have the official number of images.
  bool strict_counts = true;
  /// pathfinder: leave out images of 0 bytes.
  bool skip_empty_images = false;
  /// image, pathfinder: black pixels are padding.
  bool mask_zero_pixels = false;
  /// image, pathfinder: what the model sees of a pixel, ids | real.
  std::string input = "ids";
  /// Of real input: (grey / 255 - mean) / std.
  double input_mean = 0.5, input_std = 0.5;
  /// No key: `lotformer-data check` reads the files again even where a cache is valid.
  bool rebuild_cache = false;
};

/// Fields whose values, each allowed by itself, do not go together.
struct Conflict {
  /// All that take part, in the order of blame when no place decides.
  std::vector<std::string> keys;
  /// Stands behind any of the keys: "gradient implicit needs mode exact, not truncated".
  std::string message;
};

/// What `config` must know about the tasks without depending on them (data::task_kinds fills it).
struct TaskKinds {
  std::vector<std::string> names;
  /// Rules over the task and its options, with full keys ("data.pad_to", "task").
  std::function<std::vector<Conflict>(const std::string& task, const DataOptions& options)> conflicts;
};

}  // namespace lotformer
