// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstring>
#include <span>

#include "fixtures.h"
#include "lotformer/core/safetensors.h"

namespace lotformer::data::test {
namespace {

template <class T>
std::vector<T> values(const SafetensorsFile& file, const std::string& name) {
  const TensorView& view = file.tensor(name);
  std::vector<T> result(view.data.size() / sizeof(T));
  if (!result.empty()) std::memcpy(result.data(), view.data.data(), view.data.size());
  return result;
}

/// Sequence `sequence` of every row against the tensors PREFIX + {ids, offsets, padded_first, mask_first}.
void compare_sequences(const SafetensorsFile& expected, const std::string& prefix, const Dataset& dataset,
                       int64_t sequence, int64_t width) {
  const auto wanted_ids = values<int32_t>(expected, prefix + "ids");
  const auto wanted_offsets = values<int64_t>(expected, prefix + "offsets");
  const auto wanted_padded = values<int32_t>(expected, prefix + "padded_first");
  const auto wanted_mask = values<uint8_t>(expected, prefix + "mask_first");
  REQUIRE(expected.tensor(prefix + "padded_first").shape[1] == width);

  std::vector<int32_t> ids, padded;
  std::vector<int64_t> offsets = {0};
  std::vector<uint8_t> mask;
  const auto first_rows = static_cast<int64_t>(wanted_padded.size()) / width;
  for (int64_t row = 0; row < dataset.size(); ++row) {
    for (const uint8_t byte : dataset.bytes(row, sequence))
      ids.push_back(byte + static_cast<int32_t>(dataset.id_offset()));
    offsets.push_back(static_cast<int64_t>(ids.size()));
    if (row >= first_rows) continue;
    const int64_t length = dataset.length(row, sequence);
    padded.insert(padded.end(), ids.end() - length, ids.end());
    padded.resize(static_cast<size_t>((row + 1) * width), 0);
    mask.insert(mask.end(), static_cast<size_t>(length), 1);
    mask.resize(padded.size(), 0);
  }
  CHECK(offsets == wanted_offsets);
  CHECK((ids == wanted_ids));  // no printing of ten thousand numbers
  CHECK((padded == wanted_padded));
  CHECK((mask == wanted_mask));
}

void compare_labels(const SafetensorsFile& expected, const std::string& name, const Dataset& dataset) {
  std::vector<int64_t> labels;
  for (int64_t row = 0; row < dataset.size(); ++row) labels.push_back(dataset.label(row));
  CHECK(labels == values<int64_t>(expected, name));
}

/// What a valid case needs.
struct Valid {
  const Json& entry;
  const SafetensorsFile& expected;
  DataOptions options;
  int64_t count(const std::string& name) const { return entry.at("counts").at(name).get<int64_t>(); }
};

void check_listops(const Valid& valid) {
  DataOptions alnum = valid.options, s4 = valid.options;
  alnum.tokenizer = "alnum";
  alnum.pad_to = 2048;
  s4.vocab = "s4";
  const std::vector<std::pair<std::string, DataOptions>> variants = {
      {"", valid.options}, {"alnum.", alnum}, {"s4.", s4}};
  int compared = 0;
  for (const auto& [variant, variant_options] : variants) {
    const auto task = open_task("listops", variant_options);
    for (const Split split : {Split::train, Split::val, Split::test}) {
      const std::string name(to_string(split));
      INFO("listops " << variant << name);
      if (!valid.expected.contains(name + "." + variant + "ids")) continue;
      const Dataset dataset = task->open(split);
      CHECK(dataset.size() == valid.count(name));
      compare_sequences(valid.expected, name + "." + variant, dataset, 0, task->max_length());
      compare_labels(valid.expected, name + ".labels", dataset);
      ++compared;
    }
  }
  CHECK(compared > 0);
}

void check_text(const Valid& valid) {
  const auto task = open_task("text", valid.options);
  CHECK(task->vocab_size() == 257);
  CHECK(task->val_is_test());
  for (const Split split : {Split::train, Split::val, Split::test}) {
    const std::string name = split == Split::train ? "train" : "test";
    INFO("text " << to_string(split));
    const Dataset dataset = task->open(split);
    CHECK(dataset.size() == valid.count(name));
    compare_sequences(valid.expected, name + ".", dataset, 0, task->max_length());
    compare_labels(valid.expected, name + ".labels", dataset);
  }
}

void check_retrieval(const Valid& valid) {
  const auto task = open_task("retrieval", valid.options);
  CHECK(task->vocab_size() == 257);
  for (const Split split : {Split::train, Split::val, Split::test}) {
    const std::string name = split == Split::val ? "eval" : std::string(to_string(split));
    INFO("retrieval " << name);
    const Dataset dataset = task->open(split);
    REQUIRE(dataset.sequences() == 2);
    CHECK(dataset.size() == valid.count(name));
    for (const int64_t sequence : {0, 1})
      compare_sequences(valid.expected, concat(name, ".", sequence, "."), dataset, sequence,
                        task->max_length());
    compare_labels(valid.expected, name + ".labels", dataset);
  }
}

/// Rows of `dataset` against rows `order` of the tensors `pixels` and `labels`.
void compare_pixels(const SafetensorsFile& expected, const std::string& pixels, const std::string& labels,
                    const std::vector<int32_t>& order, const Dataset& dataset) {
  const auto wanted_pixels = values<uint8_t>(expected, pixels);
  const auto wanted_labels = values<int64_t>(expected, labels);
  const auto size = static_cast<size_t>(expected.tensor(pixels).shape[1]);
  REQUIRE(dataset.size() == static_cast<int64_t>(order.size()));
  CHECK(dataset.id_offset() == 0);
  bool equal = true;
  for (size_t row = 0; row < order.size(); ++row) {
    const auto bytes = dataset.bytes(static_cast<int64_t>(row));
    const auto wanted = std::span(wanted_pixels).subspan(static_cast<size_t>(order[row]) * size, size);
    equal = equal && bytes.size() == size && std::equal(bytes.begin(), bytes.end(), wanted.begin());
    equal =
        equal && dataset.label(static_cast<int64_t>(row)) == wanted_labels[static_cast<size_t>(order[row])];
  }
  CHECK(equal);
}

std::vector<int32_t> counting(int64_t first, int64_t last) {
  std::vector<int32_t> result;
  for (int64_t i = first; i < last; ++i) result.push_back(static_cast<int32_t>(i));
  return result;
}

void check_image(const Valid& valid) {
  for (const std::string split : {"tfds", "torch42", "sequential"}) {
    INFO("image split " << split);
    DataOptions options = valid.options;
    options.split = split;
    const auto task = open_task("image", options);
    CHECK(task->vocab_size() == 256);
    CHECK(task->max_length() == 1024);
    const int64_t train = valid.count("train"), all = valid.count("train_files");
    const bool given = split != "sequential";
    const auto rows = [&](const char* part, int64_t first, int64_t last) {
      return given ? values<int32_t>(valid.expected, "split." + split + "." + part) : counting(first, last);
    };
    const std::string pixels = "train.file_order.gray", labels = "train.file_order.labels";
    compare_pixels(valid.expected, pixels, labels, rows("train", 0, train), task->open(Split::train));
    compare_pixels(valid.expected, pixels, labels, rows("val", train, all), task->open(Split::val));
    compare_pixels(valid.expected, "test.gray", "test.labels", counting(0, valid.count("test")),
                   task->open(Split::test));
  }
  DataOptions pil = valid.options;
  pil.grey = "pil";
  pil.split = "sequential";
  const Dataset train = open_task("image", pil)->open(Split::train);
  const auto wanted = values<uint8_t>(valid.expected, "train.file_order.gray_pil_first8");
  for (int64_t row = 0; row < 8; ++row) {
    const auto bytes = train.bytes(row);
    CHECK(std::equal(bytes.begin(), bytes.end(), wanted.begin() + row * 1024));
  }
}

void check_pathfinder(const Valid& valid) {
  const auto prefix = valid.entry["prefix"].get<std::string>();
  const auto count = valid.entry["count"].get<int64_t>();
  for (const std::string split : {"default", "tfds", "torch42", "sequential"}) {
    INFO(prefix << " split " << split);
    DataOptions options = valid.options;
    options.split = split;
    const auto task = open_task(valid.entry["task"].get<std::string>(), options);
    const int64_t tenth = count / 10;
    const auto rows = [&](const char* part, int64_t first, int64_t last) {
      if (split == "sequential") return counting(first, last);
      const std::string order = split == "default" ? "torch42" : split;
      return values<int32_t>(valid.expected, prefix + "split." + order + "." + part);
    };
    const std::string pixels = prefix + "pixels", labels = prefix + "labels";
    compare_pixels(valid.expected, pixels, labels, rows("train", 0, count - 2 * tenth),
                   task->open(Split::train));
    compare_pixels(valid.expected, pixels, labels, rows("val", count - 2 * tenth, count - tenth),
                   task->open(Split::val));
    compare_pixels(valid.expected, pixels, labels, rows("test", count - tenth, count),
                   task->open(Split::test));
  }
}

}  // namespace

void check_valid(const fs::path& fixtures, const Json& entry) {
  TemporaryFolder folder;
  const auto task = entry["task"].get<std::string>();
  const SafetensorsFile expected(fixtures / entry["expected"].get<std::string>(), ErrorKind::data);
  const Valid valid{entry, expected,
                    options_from(entry, copy_of(fixtures / entry["root"].get<std::string>(), folder))};
  if (task == "listops") return check_listops(valid);
  if (task == "text") return check_text(valid);
  if (task == "retrieval") return check_retrieval(valid);
  if (task == "image") return check_image(valid);
  REQUIRE((task == "pathx" || task.rfind("pathfinder", 0) == 0));
  check_pathfinder(valid);
}

}  // namespace lotformer::data::test
