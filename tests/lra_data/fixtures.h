// SPDX-License-Identifier: MIT
// Cases of the fixtures' index.json (README.md there): their options, a place to run them, and the valid
// ones.
#pragma once

#include <map>
#include <string>

#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {

/// Options of a case; an option that the loader does not have is a failure, not a shrug.
inline DataOptions options_from(const Json& entry, const fs::path& root) {
  DataOptions options;
  options.root = root;
  const std::map<std::string, bool*> flags = {{"verify_labels", &options.verify_labels},
                                              {"append_eos", &options.append_eos},
                                              {"strict_counts", &options.strict_counts},
                                              {"skip_empty_images", &options.skip_empty_images},
                                              {"mask_zero_pixels", &options.mask_zero_pixels}};
  const std::map<std::string, std::string*> texts = {
      {"tokenizer", &options.tokenizer}, {"vocab", &options.vocab}, {"val", &options.val},
      {"split", &options.split},         {"grey", &options.grey},   {"difficulty", &options.difficulty}};
  const std::map<std::string, int64_t*> numbers = {{"max_length", &options.max_length},
                                                   {"pad_to", &options.pad_to}};
  const Json given = entry.value("option", Json::object());
  for (const auto& [key, value] : given.items()) {
    if (flags.count(key) != 0)
      *flags.at(key) = value.get<bool>();
    else if (texts.count(key) != 0)
      *texts.at(key) = value.get<std::string>();
    else if (numbers.count(key) != 0)
      *numbers.at(key) = value.get<int64_t>();
    else
      FAIL("option '" << key << "' is not known to this test");
  }
  return options;
}

/// A private copy: caches are written beside the data, and the fixtures may be read-only.
inline fs::path copy_of(const fs::path& source, const TemporaryFolder& folder) {
  const fs::path target = folder.path() / source.filename();
  if (fs::exists(source)) fs::copy(source, target, fs::copy_options::recursive);
  return target;
}

/// Every split of a valid case against the expected tensors, in each variant of the options that the tensors
/// have.
void check_valid(const fs::path& fixtures, const Json& entry);

}  // namespace lotformer::data::test
