// SPDX-License-Identifier: MIT
#include <algorithm>
#include <string>
#include <vector>

#include "lotformer/core/text.h"
#include "protocol.h"
#include "resolve.h"
#include "schema.h"

namespace lotformer::config {
namespace {

/// Reports rules at the later of the keys that break them.
class Rules {
 public:
  Rules(const Resolved& resolved, Diagnostics& diagnostics)
      : resolved_(resolved), diagnostics_(diagnostics) {}

  /// `keys` in the order of blame when no place decides (all from one --set or JSON).
  void require(bool holds, const std::vector<std::string>& keys, const std::string& message) {
    if (holds) return;
    const std::string* blamed = nullptr;
    Place latest;
    for (const std::string& key : keys) {
      if (resolved_.invalid.count(key) != 0) return;  // its own error comes first
      const auto it = resolved_.origins.find(key);
      if (it == resolved_.origins.end() || it->second.kind != Origin::Kind::given) continue;
      if (blamed == nullptr || later(it->second.place, latest)) {
        blamed = &key;
        latest = it->second.place;
      }
    }
    // Defaults and the protocol agree with themselves, so at least one key was given.
    diagnostics_.add(latest, blamed == nullptr ? keys.front() : *blamed, message);
  }

 private:
  static bool later(const Place& a, const Place& b) { return before(b, a); }
  const Resolved& resolved_;
  Diagnostics& diagnostics_;
};

/// A record that names a protocol must not stand for a task that the protocol says nothing about.
void validate_protocol(const Config& config, Rules& rules) {
  const Protocol* protocol = find_protocol(config.protocol);
  if (protocol == nullptr || covers(*protocol, config.task)) return;
  const std::vector<std::string> tasks(protocol->tasks.begin(), protocol->tasks.end());
  rules.require(false, {"protocol", "task"},
                concat(config.protocol, " has no published setting for ", config.task, ", only for ",
                       join(tasks, ", ")));
}

void validate_model(ModelConfig& model, Rules& rules) {
  const bool divides = model.heads > 0 && model.dim % model.heads == 0;
  rules.require(model.head_dim != 0 || divides, {"model.heads", "model.dim", "model.head_dim"},
                concat("dim ", model.dim, " is not a multiple of heads ", model.heads,
                       "; give model.head_dim or a number of heads that divides dim"));
  if (model.head_dim == 0) model.head_dim = std::max<int64_t>(1, model.dim / model.heads);
}

/// Rules that a section brings itself.
void validate_options(const std::string& section, const Options* options, Rules& rules) {
  if (options == nullptr) return;  // unknown kind
  for (Conflict& conflict : options->conflicts()) {
    for (std::string& key : conflict.keys) key = section + "." + key;
    rules.require(false, conflict.keys, conflict.message);
  }
}

void validate_train(const TrainConfig& train, Rules& rules) {
  // A warm-up longer than the run is no error: it is the beginning of the published schedule (the trainer warns).
  rules.require(train.accumulate <= train.batch_size, {"train.accumulate", "train.batch_size"},
                concat("accumulate ", train.accumulate, " is more than batch_size ", train.batch_size,
                       "; a chunk needs at least one example"));
}

void validate_lengths(const std::string& task, const DataConfig& data, Rules& rules) {
  const int64_t own = task_max_length(task, data);
  const int64_t longest = data.max_length == 0 ? own : data.max_length;
  rules.require(task_pixels(task) == 0 || longest >= own, {"data.max_length", "task"},
                concat("images of ", task, " have ", own, " pixels and are not cut; set max_length to 0"));
  rules.require(data.pad_to == 0 || data.pad_to >= longest,
                {"data.pad_to", "data.max_length", "data.vocab", "data.tokenizer"},
                concat("pad_to ", data.pad_to, " is less than the longest sequence, ", longest,
                       "; raise data.pad_to, lower data.max_length, or set pad_to to 0"));
  rules.require(
      longest >= 2 || (!data.append_eos && data.vocab != "s4" && data.tokenizer != "char"),
      {"data.max_length", "data.append_eos", "data.vocab", "data.tokenizer"},
      concat("max_length ", longest, " leaves no token beside the end token; it must be at least 2"));
}

void validate_tokens(const std::string& task, const DataConfig& data, Rules& rules) {
  const bool bytes = task == "text" || task == "retrieval";
  rules.require(data.tokenizer != "char" || bytes, {"data.tokenizer", "task"},
                concat("char does not apply to ", task,
                       task == "listops" ? "; use default or alnum" : "; use default"));
  rules.require(
      data.tokenizer != "alnum" || task == "listops", {"data.tokenizer", "task"},
      concat("alnum applies to listops only, not to ", task, "; use default", bytes ? " or char" : ""));
  rules.require(data.vocab == "default" || task == "listops", {"data.vocab", "task"},
                concat("vocab ", data.vocab, " applies to listops only, not to ", task));
  rules.require(data.tokenizer == "default" || data.vocab == "default", {"data.vocab", "data.tokenizer"},
                concat("vocab ", data.vocab, " and tokenizer ", data.tokenizer,
                       " belong to different harnesses; set one of the two to default"));
  rules.require(!data.append_eos || task_pixels(task) == 0, {"data.append_eos", "task"},
                concat("images of ", task, " have no end token; set it to false"));
  rules.require(!data.append_eos || !bytes || data.tokenizer == "char", {"data.append_eos", "data.tokenizer"},
                "the byte tokeniser has no end token; set tokenizer to char or append_eos to false");
}

/// Options that belong to some tasks have their defaults in the others.
void validate_task_options(const std::string& task, const DataConfig& data, Rules& rules) {
  const DataConfig standard;
  const bool pixels = task_pixels(task) > 0, pathfinder = pixels && task != "image";
  const auto belongs = [&](bool holds, const char* key, const char* to) {
    const std::string name =
        std::string(key).substr(std::string_view("data.").size());  // `task` may be blamed
    rules.require(holds, {key, "task"}, concat(name, " applies to ", to, " only, not to ", task));
  };
  belongs(data.val == standard.val || task == "text", "data.val", "text");
  belongs(data.grey == standard.grey || task == "image", "data.grey", "image");
  belongs(data.split == standard.split || pixels, "data.split", "image and pathfinder");
  belongs(data.strict_counts || pixels, "data.strict_counts", "image and pathfinder");
  belongs(!data.verify_labels || task == "listops", "data.verify_labels", "listops");
  belongs(!data.mask_zero_pixels || pixels, "data.mask_zero_pixels", "image and pathfinder");
  belongs(data.input == standard.input || pixels, "data.input", "image and pathfinder");
  rules.require(data.input == "real" || data.input_mean == standard.input_mean,
                {"data.input_mean", "data.input"}, "belongs to data.input real; ids are not normalised");
  rules.require(data.input == "real" || data.input_std == standard.input_std,
                {"data.input_std", "data.input"}, "belongs to data.input real; ids are not normalised");
  belongs(data.difficulty == standard.difficulty || pathfinder, "data.difficulty", "pathfinder");
  belongs(!data.skip_empty_images || pathfinder, "data.skip_empty_images", "pathfinder");
  rules.require(
      !data.generate_missing || task == "listops", {"data.generate_missing", "task"},
      "only listops can be generated, since its official files are generator output; set it to false");
}

}  // namespace

void validate(Resolved& resolved, Diagnostics& diagnostics) {
  Rules rules(resolved, diagnostics);
  validate_protocol(resolved.config, rules);
  validate_model(resolved.config.model, rules);
  validate_options("model.attention", resolved.config.attention.get(), rules);
  validate_train(resolved.config.train, rules);
  const Config& config = resolved.config;
  validate_lengths(config.task, config.data, rules);
  validate_tokens(config.task, config.data, rules);
  validate_task_options(config.task, config.data, rules);
}

}  // namespace lotformer::config
