// SPDX-License-Identifier: MIT
// The Image task: grey values, counts, class names, masked black pixels, hostile files.
#include <algorithm>
#include <cstdlib>

#include "data/tasks/cifar_reader.h"
#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

std::string record(int label, uint8_t red, uint8_t green, uint8_t blue) {
  return std::string(1, static_cast<char>(label)) + std::string(1024, static_cast<char>(red)) +
         std::string(1024, static_cast<char>(green)) + std::string(1024, static_cast<char>(blue));
}

/// Two records a training file, one test record: white.
void write_cifar(const fs::path& directory) {
  for (int file = 1; file <= 5; ++file) {
    write_text(directory / concat("data_batch_", file, ".bin"),
               record(file, 255, 0, 0) + record(file + 1, 0, 0, static_cast<uint8_t>(file == 1 ? 0 : 255)));
  }
  write_text(directory / "test_batch.bin", record(9, 255, 255, 255));
}

TEST_CASE("image: grey values of the contract") {
  using cifar::grey;
  CHECK(grey(255, 255, 255) == 255);
  CHECK(grey(0, 0, 0) == 0);
  CHECK(grey(255, 0, 0) == 76);
  CHECK(grey(0, 255, 0) == 149);
  CHECK(grey(0, 0, 255) == 29);
  CHECK(cifar::grey_pil(255, 255, 255) == 255);
  CHECK(cifar::grey_pil(0, 255, 0) == 150);
  int64_t different = 0;  // "it differs by one level on 26 % of all colours"; every fifth of them here
  int64_t all = 0;
  int largest = 0;
  for (uint32_t colour = 0; colour < 1U << 24; colour += 5, ++all) {
    const auto r = static_cast<uint8_t>(colour >> 16), g = static_cast<uint8_t>(colour >> 8),
               b = static_cast<uint8_t>(colour);
    const int difference = std::abs(grey(r, g, b) - cifar::grey_pil(r, g, b));
    different += difference;
    largest = std::max(largest, difference);
  }
  CHECK(largest == 1);
  CHECK(static_cast<double>(different) / static_cast<double>(all) == Catch::Approx(0.26).margin(0.01));
}

TEST_CASE("image: file order, a tenth of the training files for validation") {
  TemporaryFolder folder;
  write_cifar(folder.path() / "cifar-10-batches-bin");
  DataOptions options = options_of_any_count(folder.path());
  options.split = "sequential";
  const auto task = open_task("image", options);
  const Dataset train = task->open(Split::train), val = task->open(Split::val),
                test = task->open(Split::test);
  CHECK(train.size() == 9);
  CHECK(val.size() == 1);
  CHECK(test.size() == 1);
  CHECK(val.label(0) == 6);
  CHECK(val.property(0, 1) == 9);  // its record
  CHECK(train.bytes(0)[1023] == 76);
  CHECK(train.length(0) == 1024);
  CHECK(train.fixed_bytes() == 1024);
  CHECK(train.id_offset() == 0);
  CHECK(task->vocab_size() == 256);
  CHECK(task->class_names()[3] == "cat");
  const auto references = task->references();
  REQUIRE(references.size() == 1);
  CHECK(references[0].accuracy == Catch::Approx(2.0 / 9.0));
}

TEST_CASE("image: black pixels as padding") {
  TemporaryFolder folder;
  write_cifar(folder.path());
  DataOptions options = options_of_any_count(folder.path());
  options.split = "sequential";
  const Dataset plain = open_task("image", options)->open(Split::train);
  options.mask_zero_pixels = true;
  const auto task = open_task("image", options);
  const Dataset masked = task->open(Split::train);
  CHECK_FALSE(plain.masks_zeros());
  CHECK(masked.masks_zeros());
  CHECK(masked.length(0) == 1024);
  CHECK(masked.property(1, 0) == 0);
  CHECK(masked.length(1) == 1);  // all black: one token is left
  CHECK(plain.length(1) == 1024);
  CHECK(masked.bytes(1).size() == 1024);
  CHECK(masked.fingerprint() != plain.fingerprint());
  CHECK(task->max_length() == 1024);
}

TEST_CASE("image: counts are the official ones unless a record or an option says otherwise") {
  TemporaryFolder folder;
  write_cifar(folder.path());
  DataOptions options = options_of_any_count(folder.path());
  options.strict_counts = true;
  CHECK(contains(
      error_of([&] { open_task("image", options); }),
      "3: data_batch_1.bin: has 2 records, 10000 wanted (data.strict_counts=false takes any number)"));
  write_text(folder.path() / "SYNTHETIC.json", R"({"task": "image", "origin": "synthetic"})");
  CHECK(open_task("image", options)->data_origin() == "synthetic");
}

TEST_CASE("image: class names") {
  const auto error = [](const std::string& names) {
    TemporaryFolder folder;
    write_cifar(folder.path());
    write_text(folder.path() / "batches.meta.txt", names);
    return error_of([&] { open_task("image", options_of_any_count(folder.path())); });
  };
  CHECK(error("a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n") == "no error");
  CHECK(error("a\r\nb\r\nc\r\nd\r\ne\r\nf\r\ng\r\nh\r\ni\r\nbig truck\r\n") == "no error");
  for (const std::string names :
       {"", "a\nb\n", "a\nb\nc\nd\ne\nf\ng\nh\ni\na\n", "a\nb\nc\nd\ne\nf\ng\nh\ni\n\xff\n"})
    CHECK(contains(error(names), "3: batches.meta.txt: ten different class names wanted"));
  CHECK(contains(error(std::string(5000, 'x')), "3: batches.meta.txt: has 5000 bytes, at most 4096"));
}

TEST_CASE("image: huge files allocate nothing, and odd things are named") {
  TemporaryFolder folder;
  write_cifar(folder.path());
  const fs::path path = folder.path() / "data_batch_3.bin";
  fs::resize_file(path, uintmax_t{1} << 40);  // sparse
  DataOptions options = options_of_any_count(folder.path());
  CHECK(contains(error_of([&] { open_task("image", options); }),
                 "3: data_batch_3.bin: has 1099511627776 bytes, not a multiple"));
  fs::resize_file(path, uintmax_t{3073} << 28);
  options.strict_counts = true;
  write_text(folder.path() / "data_batch_1.bin", std::string(30730000, '\0'));
  write_text(folder.path() / "data_batch_2.bin", std::string(30730000, '\0'));
  CHECK(
      contains(error_of([&] { open_task("image", options); }), "3: data_batch_3.bin: has 268435456 records"));
  fs::remove(path);
  fs::create_directory(path);
  options.strict_counts = false;
  CHECK(contains(error_of([&] { open_task("image", options); }), "3: data_batch_3.bin: "));
}

TEST_CASE("image: options that do not apply") {
  TemporaryFolder folder;
  write_cifar(folder.path());
  const auto refusal = [&](const std::function<void(DataOptions&)>& change) {
    DataOptions options = options_of_any_count(folder.path());
    change(options);
    return error_of([&] { open_task("image", options); });
  };
  CHECK(contains(
      refusal([](DataOptions& o) { o.max_length = 1000; }),
      "2: data.max_length: max_length 1000 would cut the examples of image, which have always 1024"));
  CHECK(contains(refusal([](DataOptions& o) { o.pad_to = 1000; }), "2: data.pad_to"));
  CHECK(contains(refusal([](DataOptions& o) { o.grey = "pill"; }), "did you mean 'pil'?"));
  CHECK(contains(refusal([](DataOptions& o) { o.split = "tdfs"; }), "did you mean 'tfds'?"));
  CHECK(contains(refusal([](DataOptions& o) { o.tokenizer = "char"; }), "2: data.tokenizer"));
  CHECK(contains(refusal([](DataOptions& o) { o.verify_labels = true; }), "2: data.verify_labels"));
  CHECK(contains(refusal([](DataOptions& o) { o.skip_empty_images = true; }), "2: data.skip_empty_images"));
  CHECK(refusal([](DataOptions& o) { o.max_length = 1024, o.pad_to = 1024; }) == "no error");
}

}  // namespace
}  // namespace lotformer::data::test
