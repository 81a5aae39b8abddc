// SPDX-License-Identifier: MIT
// Pairs of documents. Documents come in small clusters that share a main topic and one rare word; a pair with
// label 1 is two documents of one cluster, a pair with label 0 two documents of different topics. Each topic
// has letters of its own, so that a small model finds it within a few hundred steps. No document is in two
// splits.
#include <algorithm>
#include <array>
#include <vector>

#include "data/generate/generated_set.h"
#include "data/generate/parallel.h"
#include "data/generate/words.h"
#include "lotformer/core/error.h"
#include "lotformer/core/file_system.h"
#include "lotformer/core/hash.h"
#include "lotformer/core/progress.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace fs = std::filesystem;
namespace {

constexpr int kRetrievalGeneratorVersion = 2;  // 1: documents began with their rare word
constexpr uint64_t kClusterDocuments = 4;      // documents of one cluster
constexpr double kTopicRate = 0.4;             // words from the main topic
constexpr double kOtherRate = 0.1;             // words from any topic
constexpr int64_t kWordsPerName = 60;          // the rare word: one of about so many
constexpr std::array<const char*, 3> kFiles = {"new_aan_pairs.train.tsv", "new_aan_pairs.eval.tsv",
                                               "new_aan_pairs.test.tsv"};
/// Consonants of the topics' words; plain words have others.
constexpr std::array<std::string_view, 6> kTopicLetters = {"bg", "ck", "fv", "jw", "pq", "xz"};

struct RetrievalLexicons {
  std::vector<std::string> plain;
  std::vector<std::vector<std::string>> topics;

  explicit RetrievalLexicons(Rng rng) : plain(make_words(rng, 800, "dhlmnrst", 2)) {
    for (const std::string_view letters : kTopicLetters) topics.push_back(make_words(rng, 60, letters, 2));
  }
};

/// What a split's documents are: all follow from the seed and their number.
class Library {
 public:
  Library(uint64_t seed, uint64_t split, int64_t pairs, const RetrievalParameters& p,
          const RetrievalLexicons& lexicons)
      : seed_(mix_seeds(seed, split + 1)),
        split_(split),
        parameters_(p),
        lexicons_(lexicons),
        // A paper of the official set is in some nine pairs.
        clusters_(std::max<uint64_t>(2 * lexicons.topics.size(), static_cast<uint64_t>(pairs) / 18)) {}

  uint64_t clusters() const { return clusters_; }
  uint64_t topic_of(uint64_t cluster) const { return cluster % lexicons_.topics.size(); }
  static uint64_t document(uint64_t cluster, uint64_t member) { return cluster * kClusterDocuments + member; }

  /// Like the anthology's: W00-00017.
  std::string name_of(uint64_t document) const {
    const std::string digits = std::to_string(100000 + document % 100000).substr(1);
    return concat(static_cast<char>('A' + split_), 10 + document / 100000, "-", digits);
  }

  std::string text_of(uint64_t document) const {
    const uint64_t cluster = document / kClusterDocuments;
    Rng cluster_rng(mix_seeds(seed_ ^ 1, cluster));
    const std::string rare = make_words(cluster_rng, 1, "bcdfghjklmnpqrstvwxz", 4)[0];
    Rng rng(mix_seeds(seed_, document));
    const auto length =
        static_cast<size_t>(log_normal_length(rng, 3.0 * static_cast<double>(parameters_.min_bytes), 0.65,
                                              parameters_.min_bytes, parameters_.max_bytes));
    const auto& topics = lexicons_.topics;
    Prose prose(rng, false);
    // For certain once, but not as the first word: equal beginnings would give linked pairs away.
    auto words_before = static_cast<int64_t>(rng.below(std::min<uint64_t>(8, 1 + length / 40)));
    while (prose.size() + 1 < length) {
      if (words_before-- == 0) prose.add(rare);
      const double kind = rng.uniform();
      if (rng.below(kWordsPerName) == 0) {
        prose.add(rare);
      } else if (kind < kTopicRate) {
        const auto& words = topics[topic_of(cluster)];
        prose.add(words[skewed_index(rng, words.size())]);
      } else if (kind < kTopicRate + kOtherRate) {
        const auto& words = topics[rng.below(topics.size())];
        prose.add(words[skewed_index(rng, words.size())]);
      } else {
        prose.add(lexicons_.plain[skewed_index(rng, lexicons_.plain.size())]);
      }
    }
    return prose.finish(length);
  }

 private:
  uint64_t seed_, split_;
  const RetrievalParameters& parameters_;
  const RetrievalLexicons& lexicons_;
  uint64_t clusters_;
};

/// One line: label, ids, texts.
std::string write_pair(Rng rng, const Library& library) {
  const uint64_t label = rng.below(2);
  const uint64_t cluster = rng.below(library.clusters());
  const uint64_t member = rng.below(kClusterDocuments);
  uint64_t other_cluster = cluster;
  uint64_t other_member = (member + 1 + rng.below(kClusterDocuments - 1)) % kClusterDocuments;
  if (label == 0) {
    while (library.topic_of(other_cluster) == library.topic_of(cluster))
      other_cluster = rng.below(library.clusters());
    other_member = rng.below(kClusterDocuments);
  }
  const uint64_t first = Library::document(cluster, member);
  const uint64_t second = Library::document(other_cluster, other_member);
  return concat(label, ".0\t", library.name_of(first), "\t", library.name_of(second), "\t",
                library.text_of(first), "\t", library.text_of(second), "\n");
}

Json write_split(const fs::path& path, const Library& library, uint64_t stream, int64_t pairs,
                 Progress& progress, int64_t& done) {
  constexpr int64_t kPiece = 1000;  // lines in memory at once
  FileWriter writer(path);
  Hasher hasher;
  std::vector<std::string> lines;
  for (int64_t begin = 0; begin < pairs; begin += kPiece) {
    lines.resize(static_cast<size_t>(std::min(kPiece, pairs - begin)));
    for_each_in_parallel(static_cast<int64_t>(lines.size()), [&](int64_t i) {
      lines[static_cast<size_t>(i)] =
          write_pair(Rng(mix_seeds(stream, static_cast<uint64_t>(begin + i))), library);
    });
    for (const std::string& line : lines) {
      writer.write(line);
      hasher.update(line);
    }
    progress.update(done += static_cast<int64_t>(lines.size()));
  }
  writer.commit();
  Json entry = file_entry(writer.position(), hasher.digest());
  entry["rows"] = pairs;
  return entry;
}

void validate(const RetrievalParameters& p) {
  constexpr int64_t kMost = 100'000'000;
  check_option("train", p.train, 1, kMost);
  check_option("val", p.val, 1, kMost);
  check_option("test", p.test, 1, kMost);
  check_option("max-bytes", p.max_bytes, 20, 10'000'000);
  check_option("min-bytes", p.min_bytes, 20, p.max_bytes);
}

SetPlan plan_of(const RetrievalParameters& p) {
  SetPlan plan;
  plan.task = "retrieval";
  plan.version = kRetrievalGeneratorVersion;
  plan.folder = "tsv_data";
  plan.other_folders = {"aan"};
  plan.own = {kFiles.begin(), kFiles.end()};
  plan.markers = plan.own;
  plan.parameters = {{"seed", p.seed}, {"train", p.train},         {"val", p.val},
                     {"test", p.test}, {"min_bytes", p.min_bytes}, {"max_bytes", p.max_bytes}};
  plan.counts = {{"train", p.train}, {"val", p.val}, {"test", p.test}};
  plan.examples = p.train + p.val + p.test;
  // The mean of the log-normal length is 1.24 medians, and a pair has two.
  plan.max_bytes = plan.examples * std::min(2 * p.max_bytes, 8 * p.min_bytes);
  return plan;
}

}  // namespace

Generation generate_retrieval(const fs::path& root, const RetrievalParameters& p) {
  validate(p);
  return make_set(root, plan_of(p), [&](const fs::path& folder) {
    const RetrievalLexicons lexicons(Rng(mix_seeds(p.seed, 0)));
    const std::array<int64_t, 3> pairs = {p.train, p.val, p.test};
    Progress progress("writing tsv_data", p.train + p.val + p.test, "pairs");
    int64_t done = 0;
    Json files;
    for (uint64_t split = 0; split < kFiles.size(); ++split) {
      const Library library(p.seed, split, pairs[split], p, lexicons);
      files[kFiles[split]] = write_split(folder / kFiles[split], library, mix_seeds(p.seed, 100 + split),
                                         pairs[split], progress, done);
    }
    return Json{{"files", files}};
  });
}

}  // namespace lotformer::data
