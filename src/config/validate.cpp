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
  const std::vector<std::string> tasks = covered_tasks(*protocol);
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

/// The class token stands first, so that behind a module that looks back only it is all that is pooled.
void validate_pooling(const Config& config, Rules& rules) {
  const bool back_only = config.attention != nullptr && config.attention->looks_back_only();
  rules.require(!back_only || config.model.pooling != "cls", {"model.attention.kind", "model.pooling"},
                concat("with ", config.attention_kind,
                       " the class token of pooling cls sees nothing of the sequence; pooling attention or "
                       "mean sees all of it"));
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
  // A warm-up longer than the run is no error: it is the beginning of the published schedule (the trainer
  // warns).
  rules.require(train.accumulate <= train.batch_size, {"train.accumulate", "train.batch_size"},
                concat("accumulate ", train.accumulate, " is more than batch_size ", train.batch_size,
                       "; a chunk needs at least one example"));
}

/// Rules over the task and its options, which come with the tasks.
void validate_data(const Config& config, const TaskKinds& tasks, Rules& rules) {
  if (!tasks.conflicts) return;
  for (const Conflict& conflict : tasks.conflicts(config.task, config.data))
    rules.require(false, conflict.keys, conflict.message);
}

}  // namespace

void validate(Resolved& resolved, const TaskKinds& tasks, Diagnostics& diagnostics) {
  Rules rules(resolved, diagnostics);
  validate_protocol(resolved.config, rules);
  validate_model(resolved.config.model, rules);
  validate_pooling(resolved.config, rules);
  validate_options("model.attention", resolved.config.attention.get(), rules);
  validate_train(resolved.config.train, rules);
  validate_data(resolved.config, tasks, rules);
}

}  // namespace lotformer::config
