// SPDX-License-Identifier: MIT
#include "data/tasks/image.h"

#include <algorithm>
#include <array>

#include "data/cache.h"
#include "data/generate/generators.h"
#include "data/split_order.h"
#include "data/tasks/cifar_reader.h"
#include "data/tasks/directory_task.h"
#include "data/tasks/source_files.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace {

// Part of the caches' identity: raise it when rows would be read otherwise.
constexpr int kImageReaderVersion = 2;
const std::vector<std::string> kTrainFiles = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                              "data_batch_4.bin", "data_batch_5.bin"};
const std::vector<std::string> kTestFiles = {"test_batch.bin"};

Layout layout() {
  Layout result{{"cifar-10-batches-bin"}, kTrainFiles};
  result.required.insert(result.required.end(), kTestFiles.begin(), kTestFiles.end());
  return result;
}

class ImageTask final : public DirectoryTask {
 public:
  explicit ImageTask(const DataOptions& options);
  std::string name() const override { return "image"; }
  int64_t vocab_size() const override { return 256; }
  int64_t max_length() const override { return std::max(cifar::kPixels, options_.pad_to); }
  std::vector<std::string> class_names() const override { return class_names_; }
  Vocabulary vocabulary() const override { return grey_values(); }
  Dataset open(Split split) override;
  std::vector<Attribute> attributes() const override { return {class_attribute(10)}; }

 private:
  bool strict() const { return options_.strict_counts && is_official(); }
  std::shared_ptr<const Cache> decoded(bool test);
  std::string source_digest(const std::vector<std::string>& files) const;
  void decode(const std::vector<std::string>& files, CacheBuilder& builder) const;
  std::vector<uint32_t> order(uint32_t rows) const;

  std::vector<std::string> class_names_;
  std::array<std::shared_ptr<const Cache>, 2> decoded_;  // training files, test file
};

ImageTask::ImageTask(const DataOptions& options) : DirectoryTask(options) {
  directory_ = require_directory(options_.root, layout(),
                                 "it is the binary version of CIFAR-10, see scripts/get_lra.sh");
  prefix_ = message_prefix(options_.root, directory_);
  read_record("image");
  FileFence files_of_set = fence();
  for (const std::string& file : layout().required) {  // all at once, before anything is decoded
    const SourceFile opened = files_of_set.open(file);
    cifar::count_records(static_cast<uint64_t>(opened.size()), opened.name(), strict());
  }
  class_names_ = cifar::class_names(directory_, prefix_, links());
}

std::string ImageTask::source_digest(const std::vector<std::string>& files) const {
  SourceIdentity identity(concat("image reader ", kImageReaderVersion, " ", options_.grey));
  for (const std::string& file : files) identity.add_file(directory_, file, prefix_);
  return identity.digest();
}

void ImageTask::decode(const std::vector<std::string>& files, CacheBuilder& builder) const {
  const auto to_grey = options_.grey == "pil" ? cifar::grey_pil : cifar::grey;
  std::array<uint8_t, cifar::kPixels> pixels{};
  FileFence files_of_set = fence();
  for (const std::string& file : files) {
    cifar::read_records(files_of_set.open(file), strict(), [&](const cifar::Record& record) {
      uint32_t ink = 0;
      for (size_t i = 0; i < pixels.size(); ++i) {
        pixels[i] = to_grey(record.colours[i], record.colours[i + 1024], record.colours[i + 2048]);
        ink += pixels[i] != 0 ? 1 : 0;
      }
      builder.add_document(pixels);
      const std::array<uint32_t, 2> properties = {ink, static_cast<uint32_t>(builder.rows())};
      builder.end_row(record.label, properties, false);
    });
  }
}

std::shared_ptr<const Cache> ImageTask::decoded(bool test) {
  std::shared_ptr<const Cache>& result = decoded_[test ? 1 : 0];
  if (result) return result;
  const std::vector<std::string>& files = test ? kTestFiles : kTrainFiles;
  CacheRequest request = cache_request();
  request.name = concat(test ? "test-" : "train-", options_.grey, ".cache");
  request.source = source_digest(files);
  request.shape.properties = 2;
  request.shape.row_bytes = cifar::kPixels;
  request.limits = {.classes = 10, .vocabulary = fixed_vocabulary(vocab_size()), .ink = true};
  request.build = [&](CacheBuilder& builder) {
    decode(files, builder);
    if (source_digest(files) != request.source)
      throw DataError::at_file(prefix_ + files.front(), "this or a file beside it changed while it was read");
  };
  return result = open_cache(request);
}

std::vector<uint32_t> ImageTask::order(uint32_t rows) const {
  if (options_.split == "torch42") return torch42_order(rows);
  if (options_.split == "sequential") return file_order(rows);
  return tfds_order(rows, "train", [](uint32_t i) { return std::to_string(i); });
}

Dataset ImageTask::open(Split split) {
  const auto cache = decoded(split == Split::test);
  Dataset dataset = all_rows(cache);
  if (split != Split::test) {
    std::vector<uint32_t> rows = order(static_cast<uint32_t>(dataset.size()));
    const auto first_val = rows.begin() + static_cast<std::ptrdiff_t>(rows.size() * 9 / 10);
    rows = split == Split::train ? std::vector(rows.begin(), first_val) : std::vector(first_val, rows.end());
    dataset = some_rows(cache, std::move(rows), 0);
  }
  return options_.mask_zero_pixels ? with_masked_zeros(dataset) : dataset;
}

std::unique_ptr<Task> open_image(const DataOptions& options) {
  return std::make_unique<ImageTask>(options);
}

}  // namespace

TaskSpec image_spec() {
  return {.name = "image",
          .length = {.own = cifar::kPixels, .fixed = true},
          .vocabulary = Vocabulary::Kind::picture,
          .options = {{"split", {"tfds", "torch42", "sequential"}},
                      {"grey", {"pil"}},
                      {"strict_counts", {"false"}},
                      {"mask_zero_pixels", {"true"}},
                      {"input", {"real"}}},
          .open = &open_image,
          .generator = image_generator()};
}

}  // namespace lotformer::data
