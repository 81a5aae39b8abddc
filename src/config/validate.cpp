// SPDX-License-Identifier: MIT
#include <algorithm>
#include <initializer_list>

#include "lotformer/core/text.h"
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
  void require(bool holds, std::initializer_list<const char*> keys, const std::string& message) {
    if (holds) return;
    const char* blamed = nullptr;
    Place latest;
    for (const char* key : keys) {
      if (resolved_.invalid.count(key) != 0) return;  // its own error comes first
      const auto it = resolved_.origins.find(key);
      if (it == resolved_.origins.end() || it->second.kind != Origin::Kind::given) continue;
      if (blamed == nullptr || later(it->second.place, latest)) {
        blamed = key;
        latest = it->second.place;
      }
    }
    // Defaults and the protocol agree with themselves, so at least one key was given.
    diagnostics_.add(latest, blamed == nullptr ? *keys.begin() : blamed, message);
  }

 private:
  static bool later(const Place& a, const Place& b) { return before(b, a); }
  const Resolved& resolved_;
  Diagnostics& diagnostics_;
};

void validate_model(ModelConfig& model, Rules& rules) {
  const bool divides = model.heads > 0 && model.dim % model.heads == 0;
  rules.require(model.head_dim != 0 || divides, {"model.heads", "model.dim", "model.head_dim"},
                concat("dim ", model.dim, " is not a multiple of heads ", model.heads,
                       "; give model.head_dim or a number of heads that divides dim"));
  if (model.head_dim == 0) model.head_dim = std::max<int64_t>(1, model.dim / model.heads);
}

void validate_train(const TrainConfig& train, Rules& rules) {
  // A warm-up longer than the run is no error: it is the beginning of the published schedule (the trainer warns).
  rules.require(train.accumulate <= train.batch_size, {"train.accumulate", "train.batch_size"},
                concat("accumulate ", train.accumulate, " is more than batch_size ", train.batch_size,
                       "; a chunk needs at least one example"));
}

void validate_data(const std::string& task, const DataConfig& data, Rules& rules) {
  const int64_t longest = data.max_length == 0 ? task_max_length(task, data) : data.max_length;
  rules.require(data.pad_to == 0 || data.pad_to >= longest, {"data.pad_to", "data.max_length", "data.vocab"},
                concat("pad_to ", data.pad_to, " is less than the longest sequence, ", longest,
                       "; raise data.pad_to, lower data.max_length, or set pad_to to 0"));
  rules.require(
      longest >= 2 || (!data.append_eos && data.vocab != "s4"),
      {"data.max_length", "data.append_eos", "data.vocab"},
      concat("max_length ", longest, " leaves no token beside the end token; it must be at least 2"));
  rules.require(
      !data.generate_missing || task == "listops", {"data.generate_missing", "task"},
      "only listops can be generated, since its official files are generator output; set it to false");
  rules.require(data.tokenizer != "char" || task != "listops", {"data.tokenizer", "task"},
                "char does not apply to listops; use default or alnum");
  rules.require(data.tokenizer == "default" || data.vocab == "default", {"data.vocab", "data.tokenizer"},
                concat("vocab ", data.vocab, " and tokenizer ", data.tokenizer,
                       " belong to different harnesses; set one of the two to default"));
}

}  // namespace

void validate(Resolved& resolved, Diagnostics& diagnostics) {
  Rules rules(resolved, diagnostics);
  validate_model(resolved.config.model, rules);
  validate_train(resolved.config.train, rules);
  validate_data(resolved.config.task, resolved.config.data, rules);
}

}  // namespace lotformer::config
