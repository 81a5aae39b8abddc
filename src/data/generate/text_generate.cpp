// SPDX-License-Identifier: MIT
// Reviews: plain words, and among them label words whose letters plain words do not have, so that a small
// model finds the signal within a few hundred steps.
#include <array>
#include <atomic>
#include <mutex>
#include <vector>

#include "data/generate/generated_set.h"
#include "data/generate/parallel.h"
#include "data/generate/words.h"
#include "lotformer/core/error.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/progress.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace fs = std::filesystem;
namespace {

constexpr int kTextGeneratorVersion = 1;
constexpr double kMedianBytes = 1000, kSigma = 0.65, kLeastRate = 0.02, kMostRate = 0.08;
constexpr int64_t kLeastBytes = 30, kMostBytes = 14000;

struct TextLexicons {
  std::vector<std::string> plain;
  std::array<std::vector<std::string>, 2> label;  // [class]

  explicit TextLexicons(Rng rng)
      : plain(make_words(rng, 1500, "bcdfghlmnprst", 2)),
        label({make_words(rng, 40, "kqz", 2), make_words(rng, 40, "vwy", 2)}) {
    constexpr std::string_view kFrequent[] = {"a", "the", "to", "in", "is", "it", "and", "of"};
    for (size_t i = 0; i < std::size(kFrequent); ++i) plain[i] = kFrequent[i];
  }
};

/// One review. The signal lies anywhere, or in the last fifth only, and then within what readers keep.
std::string write_review(Rng& rng, const TextLexicons& lexicons, size_t label, bool long_range) {
  constexpr int64_t kKept = 4000, kLongEnough = 200;
  constexpr size_t kLastChance = 24;  // so many bytes before the end at the latest a label word comes
  const auto length = static_cast<size_t>(log_normal_length(
      rng, kMedianBytes, kSigma, long_range ? kLongEnough : kLeastBytes, long_range ? kKept : kMostBytes));
  const double rate = kLeastRate + (kMostRate - kLeastRate) * rng.uniform();
  const size_t signal_begin = long_range ? length - length / 5 : 0;
  bool signal = false;
  Prose prose(rng, true);
  while (prose.size() + 1 < length) {
    const bool last_chance = !signal && prose.size() + kLastChance >= length;
    const bool from_label = rng.uniform() < rate;
    if ((from_label && prose.size() >= signal_begin) || last_chance) {
      const auto& words = lexicons.label[label];
      prose.add(words[rng.below(words.size())]);
      signal = true;
    } else {
      prose.add(lexicons.plain[skewed_index(rng, lexicons.plain.size())]);
    }
  }
  return prose.finish(length);
}

class ReviewWriter {
 public:
  ReviewWriter(const fs::path& folder, const TextParameters& p)
      : folder_(folder),
        parameters_(p),
        lexicons_(Rng(mix_seeds(p.seed, 0))),
        progress_("writing aclImdb", p.train + p.test, "reviews") {}

  Json run() {
    Json folders;
    uint64_t stream = 1;
    for (const auto& [split, count] : {std::pair{"train", parameters_.train}, {"test", parameters_.test}}) {
      bytes_ = 0;
      for (size_t label = 0; label < 2; ++label) write_class(split, label, count / 2, stream++);
      folders[split] = folder_entry(count, bytes_);
    }
    return {{"folders", folders}};
  }

 private:
  void write_class(const std::string& split, size_t label, int64_t count, uint64_t stream) {
    const fs::path folder = folder_ / split / (label == 0 ? "neg" : "pos");
    lotformer::create_directories(folder);
    constexpr int64_t kPiece = 50;
    for_each_in_parallel((count + kPiece - 1) / kPiece, [&](int64_t piece) {
      const int64_t end = std::min(count, (piece + 1) * kPiece);
      for (int64_t id = piece * kPiece; id < end; ++id) {
        Rng rng(mix_seeds(mix_seeds(parameters_.seed, stream), static_cast<uint64_t>(id)));
        const uint64_t rating = (label == 0 ? 1 : 7) + rng.below(4);
        const std::string review = write_review(rng, lexicons_, label, parameters_.long_range);
        write_small_file(folder / concat(id, "_", rating, ".txt"), review);
        bytes_ += static_cast<int64_t>(review.size());
      }
      const std::lock_guard lock(mutex_);
      progress_.update(done_ += end - piece * kPiece);
    });
  }

  fs::path folder_;
  TextParameters parameters_;
  TextLexicons lexicons_;
  std::atomic<int64_t> bytes_{0};
  std::mutex mutex_;
  Progress progress_;
  int64_t done_ = 0;
};

void check_even(const char* option, int64_t value) {
  check_option(option, value, 2, 100'000'000);
  if (value % 2 != 0)
    throw Error(ErrorKind::usage,
                concat("generate: --", option, " must be even (half of each class), got ", value));
}

}  // namespace

Generation generate_text(const fs::path& root, const TextParameters& p) {
  check_even("train", p.train);
  check_even("test", p.test);
  SetPlan plan;
  plan.task = "text";
  plan.version = kTextGeneratorVersion;
  plan.folder = "aclImdb";
  plan.own = {"train", "test"};
  plan.markers = {"train/neg", "train/pos", "test/neg", "test/pos"};
  plan.parameters = {{"seed", p.seed}, {"train", p.train}, {"test", p.test}, {"long_range", p.long_range}};
  plan.counts = {{"train", p.train}, {"test", p.test}};
  plan.examples = p.train + p.test;
  plan.max_bytes = plan.examples * 4096;  // one block a file mostly
  return make_set(root, plan, [&](const fs::path& folder) { return ReviewWriter(folder, p).run(); });
}

}  // namespace lotformer::data
