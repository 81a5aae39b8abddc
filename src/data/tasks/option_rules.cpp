// SPDX-License-Identifier: MIT
#include "data/tasks/option_rules.h"

#include <algorithm>
#include <functional>
#include <span>

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace {

/// An option whose values are words, as text.
struct Word {
  std::string_view key;
  std::string (*value)(const DataOptions&);
};

template <std::string DataOptions::*member>
std::string text(const DataOptions& options) {
  return options.*member;
}
template <bool DataOptions::*member>
std::string flag(const DataOptions& options) {
  return options.*member ? "true" : "false";
}

std::span<const Word> words() {
  static constexpr Word kWords[] = {
      {"generate_missing", &flag<&DataOptions::generate_missing>},
      {"tokenizer", &text<&DataOptions::tokenizer>},
      {"vocab", &text<&DataOptions::vocab>},
      {"append_eos", &flag<&DataOptions::append_eos>},
      {"verify_labels", &flag<&DataOptions::verify_labels>},
      {"val", &text<&DataOptions::val>},
      {"split", &text<&DataOptions::split>},
      {"grey", &text<&DataOptions::grey>},
      {"difficulty", &text<&DataOptions::difficulty>},
      {"strict_counts", &flag<&DataOptions::strict_counts>},
      {"skip_empty_images", &flag<&DataOptions::skip_empty_images>},
      {"mask_zero_pixels", &flag<&DataOptions::mask_zero_pixels>},
      {"input", &text<&DataOptions::input>},
  };
  return kWords;
}

/// "listops", "image and pathfinder": whose rows accept a value.
std::string tasks_with(std::string_view key, std::string_view value) {
  std::vector<std::string> names;
  for (const TaskSpec& spec : task_specs()) {
    const std::string_view name = spec.family.empty() ? spec.name : spec.family;
    if (spec.accepts(key, value) && (names.empty() || names.back() != name)) names.emplace_back(name);
  }
  if (names.size() < 2) return join(names, "");
  const std::string last = names.back();
  names.pop_back();
  return concat(join(names, ", "), " and ", last);
}

/// The default of an option first, then what the row accepts.
std::vector<std::string> allowed_values(const TaskSpec& task, const Word& word) {
  std::vector<std::string> allowed = {word.value(DataOptions{})};
  for (const AcceptedValues& row : task.options) {
    if (row.key == word.key) allowed.insert(allowed.end(), row.values.begin(), row.values.end());
  }
  return allowed;
}

Conflict refused_value(const TaskSpec& task, const Word& word, const std::string& value) {
  const std::vector<std::string> allowed = allowed_values(task, word);
  const std::string tasks = tasks_with(word.key, value);
  std::string message = concat(word.key, " ", quoted(value).substr(1, quoted(value).size() - 2));
  message += tasks.empty() ? concat(" is no value of ", task.name)
                           : concat(" applies to ", tasks, " only, not to ", task.name);
  message += concat("; use ", join(allowed, " or "));
  if (tasks.empty()) message += did_you_mean(value, allowed);
  return {{concat("data.", word.key), "task"}, message};
}

std::string too_small_pad(int64_t pad_to, int64_t longest) {
  return concat("pad_to ", pad_to, " is less than the longest sequence, ", longest,
                "; raise data.pad_to, lower data.max_length, or set pad_to to 0");
}

using Conflicts = std::vector<Conflict>;

void check_lengths(const TaskSpec& task, const DataOptions& options, Conflicts& found) {
  if (options.max_length < 0 || options.pad_to < 0) {
    found.push_back({{options.max_length < 0 ? "data.max_length" : "data.pad_to"},
                     "must be >= 0 (0: the task's own length)"});
    return;
  }
  const int64_t longest = task.length.longest(options), own = task.length.own;
  if (task.length.fixed && longest < own) {
    found.push_back({{"data.max_length", "task"},
                     concat("max_length ", longest, " would cut the examples of ", task.name,
                            ", which have always ", own, " tokens; set it to 0")});
  }
  if (longest == 0) return;
  if (options.pad_to != 0 && options.pad_to < longest) {
    found.push_back({{"data.pad_to", "data.max_length", "data.vocab", "data.tokenizer"},
                     too_small_pad(options.pad_to, longest)});
  }
  const bool ends = options.append_eos || options.vocab == "s4" || options.tokenizer == "char";
  if (longest < 2 && ends) {
    found.push_back(
        {{"data.max_length", "data.append_eos", "data.vocab", "data.tokenizer"},
         concat("max_length ", longest, " leaves no token beside the end token; it must be at least 2")});
  }
}

void check_real_input(const DataOptions& options, Conflicts& found) {
  const DataOptions standard;
  const std::string message = "belongs to data.input real; ids are not normalised";
  if (options.input == "real") return;
  if (options.input_mean != standard.input_mean)
    found.push_back({{"data.input_mean", "data.input"}, message});
  if (options.input_std != standard.input_std) found.push_back({{"data.input_std", "data.input"}, message});
}

}  // namespace

int64_t TaskLength::longest(const DataOptions& options) const {
  if (options.max_length > 0) return options.max_length;
  if (options.tokenizer == "char" && with_char > 0) return with_char;
  if (options.vocab == "s4" && with_s4 > 0) return with_s4;
  return own;
}

bool TaskSpec::accepts(std::string_view key, std::string_view value) const {
  return std::any_of(options.begin(), options.end(), [&](const AcceptedValues& row) {
    return row.key == key && std::find(row.values.begin(), row.values.end(), value) != row.values.end();
  });
}

std::vector<Conflict> option_conflicts(const TaskSpec& task, const DataOptions& options) {
  Conflicts found;
  for (const Word& word : words()) {
    const std::string value = word.value(options);
    if (value != word.value(DataOptions{}) && !task.accepts(word.key, value))
      found.push_back(refused_value(task, word, value));
  }
  check_lengths(task, options, found);
  check_real_input(options, found);
  if (task.conflicts != nullptr) {
    Conflicts more = task.conflicts(options);
    found.insert(found.end(), more.begin(), more.end());
  }
  return found;
}

void require_room(const DataOptions& options, int64_t longest) {
  if (options.pad_to == 0 || options.pad_to >= longest) return;
  throw Error(ErrorKind::usage, "data.pad_to: " + too_small_pad(options.pad_to, longest));
}

}  // namespace lotformer::data
