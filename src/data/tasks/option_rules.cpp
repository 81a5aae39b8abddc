// SPDX-License-Identifier: MIT
#include "data/tasks/option_rules.h"

#include <algorithm>

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace {

void check_choice(const std::string& task, const std::string& key, const std::string& value,
                  const std::string& standard, const std::vector<std::string>& others) {
  std::vector<std::string> allowed = {standard};
  allowed.insert(allowed.end(), others.begin(), others.end());
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return;
  const std::string near = nearest(value, allowed);
  throw Error(ErrorKind::usage,
              concat("data.", key, ": ", task, " has no ", quoted(value), "; allowed: ", join(allowed, ", "),
                     near.empty() ? "" : concat(" (did you mean ", near, "?)")));
}

void check_flag(const std::string& task, const std::string& key, bool changed, bool allowed) {
  if (changed && !allowed) throw Error(ErrorKind::usage, concat("data.", key, ": does not apply to ", task));
}

}  // namespace

void check_options(const std::string& task, const OptionRules& rules, const DataOptions& options) {
  const DataOptions standard;
  check_choice(task, "tokenizer", options.tokenizer, standard.tokenizer, rules.tokenizers);
  check_choice(task, "vocab", options.vocab, standard.vocab, rules.vocabs);
  check_choice(task, "val", options.val, standard.val, rules.vals);
  check_choice(task, "split", options.split, standard.split, rules.splits);
  check_choice(task, "grey", options.grey, standard.grey, rules.greys);
  check_choice(task, "difficulty", options.difficulty, standard.difficulty, rules.difficulties);
  check_flag(task, "append_eos", options.append_eos, rules.append_eos);
  check_flag(task, "generate_missing", options.generate_missing, rules.generate_missing);
  check_flag(task, "verify_labels", options.verify_labels, rules.verify_labels);
  check_flag(task, "strict_counts", !options.strict_counts, rules.pixels);
  check_flag(task, "mask_zero_pixels", options.mask_zero_pixels, rules.pixels);
  check_flag(task, "skip_empty_images", options.skip_empty_images, rules.png_files);
  if (options.max_length < 0 || options.pad_to < 0)
    throw Error(ErrorKind::usage, "data.max_length and data.pad_to: must be >= 0 (0: the task's own)");
}

void check_pad_to(const DataOptions& options, int64_t longest) {
  if (options.pad_to == 0 || options.pad_to >= longest) return;
  throw Error(ErrorKind::usage, concat("data.pad_to: ", options.pad_to, " is below data.max_length (",
                                       longest, "); longer rows would not fit"));
}

void check_fixed_length(const std::string& task, int64_t length, const DataOptions& options) {
  if (options.max_length != 0 && options.max_length < length) {
    throw Error(ErrorKind::usage, concat("data.max_length: ", task, " has always ", length,
                                         " tokens, which are not cut; give 0"));
  }
  check_pad_to(options, length);
}

}  // namespace lotformer::data
