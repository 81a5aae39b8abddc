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

#include "lotformer/core/data_options.h"
#include "lotformer/core/json.h"
#include "lotformer/data/dataset.h"
#include "lotformer/data/generate.h"

namespace lotformer::data {

enum class Split { train, val, test };
std::string_view to_string(Split split);  // "train", "val", "test"

using lotformer::DataOptions;

/// Accuracy of a trivial predictor, to print beside a result.
struct Reference {
  /// "always 0", "root operator alone".
  std::string name;
  /// In [0, 1].
  double accuracy = 0;
  /// "official distribution" or "measured on the training split".
  std::string source;
};

/// A property of an example that accuracy is broken down by (ListOps: length, depth).
struct Attribute {
  std::string name;
  /// Bins [edges[i], edges[i+1]); the last edge may be the largest int64: no upper bound.
  std::vector<int64_t> edges;
  std::function<int64_t(const Dataset&, int64_t row)> value;
};

/// How the ids of a task read for people.
struct Vocabulary {
  enum class Kind {
    /// ListOps: operators, digits, brackets.
    expression,
    /// The tokens, one behind the other, are a text.
    text,
    /// Grey values.
    picture,
    /// The ids of `tokenizer: ids`, with blanks between them.
    numbers,
  };
  Kind kind = Kind::text;
  /// Of each id: "[MAX", "e", "<pad>", "17". The byte tokeniser's are single bytes, which need not be
  /// characters by themselves.
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
  /// Longest sequence a batch can have (after cut, eos and pad_to).
  virtual int64_t max_length() const = 0;
  virtual std::vector<std::string> class_names() const = 0;
  /// What the ids stand for, with vocab_size() entries. Some numberings are counted in the training split:
  /// complete after an open().
  virtual Vocabulary vocabulary() const = 0;
  /// Opens one split (through its cache). Throws DataError for bad files.
  virtual Dataset open(Split split) = 0;
  /// "official" (files without a provenance record where there is an official release), "generated",
  /// "synthetic", "custom".
  virtual std::string data_origin() const = 0;
  /// Where its files lie; empty: it has none of its own.
  virtual std::filesystem::path folder() const { return {}; }
  /// The provenance record (generator, version, seed, parameters) or null.
  virtual Json provenance() const = 0;
  /// Whether validation and test are the same examples, so that the best validation checkpoint has been
  /// chosen on the test set (text with `val: test`, as the benchmark does it).
  virtual bool val_is_test() const { return false; }
  virtual std::vector<Reference> references() { return {}; }
  virtual std::vector<Attribute> attributes() const { return {}; }
  /// What an evaluation reports: "accuracy", "loss" (mean cross-entropy, natural logarithm), "recall by
  /// class" and for each attribute "accuracy by NAME".
  virtual std::vector<std::string> metrics() const;
};

/// Longest sequence of a task, end token included, where `max_length` is 0.
struct TaskLength {
  /// 0: the longest row of its files, known when they have been read.
  int64_t own = 0;
  /// With `tokenizer: char` and with `vocab: s4`; 0: the same.
  int64_t with_char = 0, with_s4 = 0;
  /// Every example has this length and is not cut.
  bool fixed = false;

  /// Longest sequence with these options, or 0 when the files decide.
  int64_t longest(const DataOptions& options) const;
};

/// Values of an option, beside its default, that a task accepts: {"tokenizer", {"char"}}, {"append_eos",
/// {"true"}}.
struct AcceptedValues {
  std::string_view key;
  std::vector<std::string_view> values;
};

/// One row of the task table: all that is known of a task before its files are read. docs/adding-a-task.md
/// shows one in full.
struct TaskSpec {
  std::string_view name;
  /// What messages call the task together with its siblings ("pathfinder"); empty: its name.
  std::string_view family = {};
  TaskLength length = {};
  /// Sequences of an example; 0: the files decide.
  int64_t sequences = 1;
  /// What the ids are; of `custom` where they are bytes.
  Vocabulary::Kind vocabulary = Vocabulary::Kind::text;
  /// Options that it has. What it does not have must keep its default: nothing is ignored in silence.
  std::vector<AcceptedValues> options = {};
  /// Rules over several options that only this task has.
  std::vector<Conflict> (*conflicts)(const DataOptions& options) = nullptr;
  /// Called with options that break no rule.
  std::unique_ptr<Task> (*open)(const DataOptions& options) = nullptr;
  /// What makes its files, where something can.
  Generator generator = {};

  /// Whether it has a value of an option that is not the default.
  bool accepts(std::string_view key, std::string_view value) const;
};
const std::vector<TaskSpec>& task_specs();
/// Error(usage) with the nearest name for an unknown task.
const TaskSpec& find_task(const std::string& name);
/// What is wrong with the options of a task: all rules that a row of the table states.
std::vector<Conflict> option_conflicts(const TaskSpec& task, const DataOptions& options);
/// The tasks as a configuration learns of them.
TaskKinds task_kinds();

/// Error(usage) "data.KEY: message" at the first conflict.
std::unique_ptr<Task> open_task(const TaskSpec& task, const DataOptions& options);
/// The task of that name. Error(usage) as find_task.
std::unique_ptr<Task> open_task(const std::string& name, const DataOptions& options);

}  // namespace lotformer::data
