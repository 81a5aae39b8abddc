// SPDX-License-Identifier: MIT
// Gratings against section 12 of the data contract.
#include <array>
#include <cmath>

#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

/// The stripes' orientation from the gradients of a smoothed picture: the eigenvector of the mean structure
/// tensor, in units of 18 degrees.
size_t orientation(std::span<const uint8_t> pixels) {
  const auto smooth = [&](size_t x, size_t y) {
    double sum = 0;
    for (size_t dy = 0; dy < 3; ++dy) {
      for (size_t dx = 0; dx < 3; ++dx) sum += pixels[(y + dy) * 32 + x + dx];
    }
    return sum;
  };
  double xx = 0, yy = 0, xy = 0;
  for (size_t y = 1; y + 3 < 31; ++y) {
    for (size_t x = 1; x + 3 < 31; ++x) {
      const double gx = smooth(x + 1, y) - smooth(x - 1, y), gy = smooth(x, y + 1) - smooth(x, y - 1);
      xx += gx * gx;
      yy += gy * gy;
      xy += gx * gy;
    }
  }
  const double degrees = std::atan2(2 * xy, xx - yy) / 2 * 180 / M_PI;
  return static_cast<size_t>(std::lround((degrees + 180) / 18)) % 10;
}

TEST_CASE("image: ten even classes that the orientation tells, colours, the official records") {
  TemporaryFolder folder;
  ImageParameters p;
  p.train = 1800;
  p.val = 200;
  p.test = 100;
  generate_image(folder.path(), p);
  const fs::path directory = folder.path() / "cifar-10-batches-bin";
  for (int i = 1; i <= 5; ++i)
    CHECK(fs::file_size(directory / concat("data_batch_", i, ".bin")) == 400 * 3073);
  CHECK(fs::file_size(directory / "test_batch.bin") == 100 * 3073);
  const auto task = open_task("image", options_at(folder.path()));
  CHECK(task->data_origin() == "synthetic");
  CHECK(task->class_names()[3] == "grating_54");
  const Dataset train = task->open(Split::train);
  REQUIRE(train.size() == 1800);
  CHECK(task->open(Split::val).size() == 200);
  std::array<int, 10> labels{};
  double right = 0;
  for (int64_t row = 0; row < train.size(); ++row) {
    ++labels[static_cast<size_t>(train.label(row))];
    right += orientation(train.bytes(row)) == static_cast<size_t>(train.label(row)) ? 1 : 0;
  }
  for (const int count : labels) CHECK(count == Catch::Approx(180).margin(52));  // four standard errors
  CHECK(right / 1800 > 0.95);
  const std::string record = read_text(directory / "test_batch.bin").substr(1, 3072);
  CHECK(record.substr(0, 1024) != record.substr(1024, 1024));  // a tint: red is not green
}

TEST_CASE("image: counts that could not be read back are refused") {
  TemporaryFolder folder;
  ImageParameters p;
  p.train = 100;
  p.val = 50;
  p.test = 10;
  CHECK(contains(
      error_of([&] { generate_image(folder.path(), p); }),
      "2: generate: the training files are divided 9 : 1 when they are read; 150 images give 135 / 15, "
      "not 100 / 50"));
}

}  // namespace
}  // namespace lotformer::data::test
