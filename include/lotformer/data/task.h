// SPDX-License-Identifier: MIT
// A task: where its files lie, what they mean, how its splits open. Torch-free; data/loader (in the torch
// library) makes tensors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lotformer/core/json.h"
#include "lotformer/data/dataset.h"

namespace lotformer::data {

enum class Split { train, val, test };
std::string_view to_string(Split split);  // "train", "val", "test"

/// The loader's options; the same names as `data.*` in a configuration.
struct DataOptions {
  std::filesystem::path root = "data/lra";
  bool generate_missing = false;
  int64_t max_length = 0;  ///< 0: the task's own (ListOps 2000, text and retrieval 4000, images all pixels)
  int64_t pad_to = 0;
  std::string tokenizer = "default";
  std::string vocab = "default";
  bool append_eos = false;
  std::string val = "test";         ///< text: test files or a holdout of a tenth of the training files
  std::string split = "default";    ///< image, pathfinder: default | tfds | torch42 | sequential
  std::string grey = "default";     ///< image: default | pil
  std::string difficulty = "hard";  ///< pathfinder: easy | intermediate | hard (contour length 6, 9, 14)
  bool strict_counts = true;        ///< image, pathfinder: official files have the official number of images
  bool skip_empty_images = false;   ///< pathfinder: leave out images of 0 bytes
  bool mask_zero_pixels = false;    ///< image, pathfinder: black pixels are padding
  bool verify_labels = false;       ///< evaluate what can be evaluated (ListOps: every expression)
  bool rebuild_cache = false;  ///< read the files again even where a cache is valid (`lotformer-data check`)
};

/// Accuracy of a trivial predictor, to print beside a result.
struct Reference {
  std::string name;     ///< "always 0", "root operator alone"
  double accuracy = 0;  ///< in [0, 1]
  std::string source;   ///< "official distribution" or "measured on the training split"
};

/// A property of an example that accuracy is broken down by (ListOps: length, depth).
struct Attribute {
  std::string name;
  std::vector<int64_t>
      edges;  ///< bins [edges[i], edges[i+1]); the last edge may be the largest int64: no upper bound
  std::function<int64_t(const Dataset&, int64_t row)> value;
};

/// How the ids of a task read for people.
struct Vocabulary {
  enum class Kind {
    expression,  ///< ListOps: operators, digits, brackets
    text,        ///< the tokens, one behind the other, are a text
    picture,     ///< grey values
  };
  Kind kind = Kind::text;
  /// Of each id: "[MAX", "e", "<pad>", "17". The byte tokeniser's are single bytes, which need not be characters by themselves.
  std::vector<std::string> tokens;
};

/// An opened task with its options applied.
class Task {
 public:
  virtual ~Task() = default;
  virtual std::string name() const = 0;
  virtual int64_t vocab_size() const = 0;
  virtual int64_t num_classes() const = 0;
  virtual int64_t sequences() const { return 1; }
  virtual int64_t max_length() const = 0;  ///< longest sequence a batch can have (after cut, eos and pad_to)
  virtual std::vector<std::string> class_names() const = 0;
  /// What the ids stand for, with vocab_size() entries. Some numberings are counted in the training split: complete after an open().
  virtual Vocabulary vocabulary() const = 0;
  /// Opens one split (through its cache). Throws DataError for bad files.
  virtual Dataset open(Split split) = 0;
  /// "official" (files without a provenance record), "generated", "synthetic".
  virtual std::string data_origin() const = 0;
  /// The provenance record (generator, version, seed, parameters) or null.
  virtual Json provenance() const = 0;
  /// Whether validation and test are the same examples, so that the best validation checkpoint has been chosen
  /// on the test set (text with `val: test`, as the benchmark does it).
  virtual bool val_is_test() const { return false; }
  virtual std::vector<Reference> references() { return {}; }
  virtual std::vector<Attribute> attributes() const { return {}; }
  /// What an evaluation reports: "accuracy", "loss" (mean cross-entropy, natural logarithm), "recall by class" and for each attribute
  /// "accuracy by NAME".
  virtual std::vector<std::string> metrics() const;
};

/// One row of the task table.
struct TaskSpec {
  std::string_view name;
  std::unique_ptr<Task> (*open)(const DataOptions& options);
};
const std::vector<TaskSpec>& task_specs();
/// Error(usage) with the nearest name for an unknown task.
std::unique_ptr<Task> open_task(const std::string& name, const DataOptions& options);

}  // namespace lotformer::data
