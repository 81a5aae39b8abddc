// SPDX-License-Identifier: MIT
// Oriented sinus gratings in CIFAR-10's binary format.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "data/generate/generated_set.h"
#include "data/generate/parallel.h"
#include "data/generate/portable_math.h"
#include "lotformer/core/error.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/hash.h"
#include "lotformer/core/progress.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace fs = std::filesystem;
namespace {

constexpr int kImageGeneratorVersion = 2;  // 1: the same brightness in all classes, which no short run learnt
constexpr int64_t kEdge = 32, kPixels = kEdge * kEdge, kRecord = 1 + 3 * kPixels;
constexpr int64_t kClasses = 10, kTrainingFiles = 5;

using Record = std::array<char, static_cast<size_t>(kRecord)>;

/// Class c: stripes along c * 18 degrees, 3 to 5 periods, any phase, a colour tint, noise. Brightness rises
/// with the class, too little to tell neighbours apart, so that a small model finds something within a few
/// hundred steps.
void draw_record(Rng& rng, Record& record) {
  const auto label = rng.below(kClasses);
  const double turns = static_cast<double>(label) / (2 * kClasses);
  const double frequency = (3 + 2 * rng.uniform()) / kEdge, phase = rng.uniform();
  const double x_step = frequency * portable::cos_turns(turns);
  const double y_step = frequency * portable::sin_turns(turns);
  std::array<double, 3> tint{}, contrast{};
  for (size_t c = 0; c < 3; ++c) {
    tint[c] = 76 + 8 * static_cast<double>(label) + 32 * rng.uniform();
    contrast[c] = 40 + 40 * rng.uniform();
  }
  constexpr double kNoise = 20;  // standard deviation, grey levels
  record[0] = static_cast<char>(label);
  for (int64_t y = 0; y < kEdge; ++y) {
    for (int64_t x = 0; x < kEdge; ++x) {
      const double wave =
          portable::sin_turns(phase + x_step * static_cast<double>(x) + y_step * static_cast<double>(y));
      for (size_t c = 0; c < 3; ++c) {
        // Two uniforms: a triangle with this standard deviation.
        const double noise = (rng.uniform() + rng.uniform() - 1) * (kNoise * 2.449489742783178);
        const double value = tint[c] + contrast[c] * wave + noise;
        const auto level = static_cast<uint8_t>(std::clamp(std::floor(value + 0.5), 0.0, 255.0));
        record[1 + c * kPixels + static_cast<size_t>(y * kEdge + x)] = static_cast<char>(level);
      }
    }
  }
}

class RecordWriter {
 public:
  RecordWriter(const fs::path& folder, const ImageParameters& p)
      : folder_(folder),
        parameters_(p),
        progress_("writing cifar-10-batches-bin", p.train + p.val + p.test, "images") {}

  Json run() {
    Json files;
    const int64_t images = parameters_.train + parameters_.val;
    for (int64_t i = 0; i < kTrainingFiles; ++i) {
      const int64_t begin = images * i / kTrainingFiles, end = images * (i + 1) / kTrainingFiles;
      const std::string name = concat("data_batch_", i + 1, ".bin");
      files[name] = write_file(name, 0, begin, end);
    }
    files["test_batch.bin"] = write_file("test_batch.bin", 1, 0, parameters_.test);
    std::string names;
    for (int64_t c = 0; c < kClasses; ++c) names += concat("grating_", 18 * c, "\n");
    names += "\n";
    write_small_file(folder_ / "batches.meta.txt", names);
    files["batches.meta.txt"] = file_entry(static_cast<int64_t>(names.size()), hash_bytes(names));
    return {{"files", files}};
  }

 private:
  Json write_file(const std::string& name, uint64_t stream, int64_t begin, int64_t end) {
    constexpr int64_t kPiece = 1000;  // records in memory at once
    FileWriter writer(folder_ / name);
    Hasher hasher;
    std::vector<Record> records;
    for (int64_t at = begin; at < end; at += kPiece) {
      records.resize(static_cast<size_t>(std::min(kPiece, end - at)));
      for_each_in_parallel(static_cast<int64_t>(records.size()), [&](int64_t i) {
        Rng rng(mix_seeds(mix_seeds(parameters_.seed, stream), static_cast<uint64_t>(at + i)));
        draw_record(rng, records[static_cast<size_t>(i)]);
      });
      writer.write(records.data(), records.size() * sizeof(Record));
      hasher.update(records.data(), records.size() * sizeof(Record));
      progress_.update(done_ += static_cast<int64_t>(records.size()));
    }
    writer.commit();
    return file_entry(writer.position(), hasher.digest());
  }

  fs::path folder_;
  ImageParameters parameters_;
  Progress progress_;
  int64_t done_ = 0;
};

void check_counts(const ImageParameters& p) {
  constexpr int64_t kMost = 100'000'000;
  check_option("train", p.train, 5, kMost);
  check_option("val", p.val, 0, kMost);
  check_option("test", p.test, 1, kMost);
  const int64_t images = p.train + p.val;
  if (p.train == images * 9 / 10) return;
  throw Error(ErrorKind::usage,
              concat("generate: the training files are divided 9 : 1 when they are read; ", images,
                     " images give ", images * 9 / 10, " / ", images - images * 9 / 10, ", not ", p.train,
                     " / ", p.val, " (--train alone is enough)"));
}

}  // namespace

Generation generate_image(const fs::path& root, const ImageParameters& p) {
  check_counts(p);
  SetPlan plan;
  plan.task = "image";
  plan.version = kImageGeneratorVersion;
  plan.folder = "cifar-10-batches-bin";
  plan.own = {"batches.meta.txt", "test_batch.bin"};
  for (int64_t i = 1; i <= kTrainingFiles; ++i) plan.own.push_back(concat("data_batch_", i, ".bin"));
  plan.markers = plan.own;
  plan.parameters = {{"seed", p.seed}, {"train", p.train}, {"val", p.val}, {"test", p.test}};
  plan.counts = {{"train", p.train}, {"val", p.val}, {"test", p.test}};
  plan.examples = p.train + p.val + p.test;
  plan.max_bytes = plan.examples * kRecord;
  return make_set(root, plan, [&](const fs::path& folder) { return RecordWriter(folder, p).run(); });
}

}  // namespace lotformer::data
