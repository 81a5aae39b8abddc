// SPDX-License-Identifier: MIT
// From a configuration to the loader's options. A template, because `data` does not know `config`.
#pragma once

#include "lotformer/data/task.h"

namespace lotformer::data {

/// The options of a configuration's section `data` (DataConfig, which this module does not know).
template <class Section>
DataOptions options_of(const Section& d) {
  DataOptions options;
  options.root = d.root;
  options.generate_missing = d.generate_missing;
  options.max_length = d.max_length;
  options.pad_to = d.pad_to;
  options.tokenizer = d.tokenizer;
  options.vocab = d.vocab;
  options.append_eos = d.append_eos;
  options.verify_labels = d.verify_labels;
  options.val = d.val;
  options.split = d.split;
  options.grey = d.grey;
  options.difficulty = d.difficulty;
  options.strict_counts = d.strict_counts;
  options.skip_empty_images = d.skip_empty_images;
  options.mask_zero_pixels = d.mask_zero_pixels;
  return options;
}

}  // namespace lotformer::data
