// SPDX-License-Identifier: MIT
#include "data/tasks/retrieval.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "data/cache.h"
#include "data/generate/generators.h"
#include "data/tasks/directory_task.h"
#include "data/tasks/retrieval_reader.h"
#include "data/tasks/source_files.h"
#include "data/tasks/text_encoder.h"
#include "lotformer/core/log.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace fs = std::filesystem;
namespace {

using retrieval::Pair;

// Part of the caches' identity: raise it when rows would be read otherwise.
constexpr int kRetrievalReaderVersion = 2;
constexpr uint64_t kLeastRetrievalFrequency = 1;  // of a character in the training documents
constexpr TaskLength kRetrievalLength = {.own = 4000};
constexpr std::array<const char*, 3> kFiles = {"new_aan_pairs.train.tsv", "new_aan_pairs.eval.tsv",
                                               "new_aan_pairs.test.tsv"};
constexpr std::array<int64_t, 3> kOfficialPairs = {147086, 18090, 17437};

/// Documents that a cache holds already, by the digest of their ids.
using KnownDocuments = std::unordered_map<std::string, uint32_t>;

class RetrievalTask final : public DirectoryTask {
 public:
  explicit RetrievalTask(const DataOptions& options);
  std::string name() const override { return "retrieval"; }
  int64_t vocab_size() const override { return encoder_.vocab_size(); }
  int64_t sequences() const override { return 2; }
  int64_t max_length() const override { return std::max(encoder_.max_length(), options_.pad_to); }
  std::vector<std::string> class_names() const override { return {"unrelated", "linked"}; }
  Vocabulary vocabulary() const override { return encoder_.vocabulary(); }
  Dataset open(Split split) override;
  std::vector<Attribute> attributes() const override;

 private:
  std::shared_ptr<const Cache> decoded(Split split);
  std::string source_digest(Split split) const;
  void number_characters();
  void decode(Split split, CacheBuilder& builder);
  void add_pair(const Pair& pair, const std::string& name, KnownDocuments& known, CacheBuilder& builder);

  TextEncoder encoder_;
  std::array<std::shared_ptr<const Cache>, 3> decoded_;
};

/// What to do about absent files; other words when the files without texts lie there.
std::string advice(const fs::path& root, const Layout& layout) {
  for (const fs::path& directory : candidate_directories(root, layout)) {
    std::error_code code;
    for (fs::directory_iterator it(directory, code); !code && it != fs::directory_iterator();
         it.increment(code)) {
      const std::string name = it->path().filename().string();
      if (name.find("only_ids") != std::string::npos)
        return concat(printable(name), " holds ids only: the texts are missing; see scripts/get_lra.sh");
    }
  }
  return "it is the folder tsv_data of the release, see scripts/get_lra.sh";
}

[[noreturn]] void fail_not_utf8(const Pair& pair, size_t document, const std::string& name) {
  throw DataError::at_line(
      name, pair.line,
      concat(document == 0 ? "first" : "second", " document (", printable(pair.ids[document]),
             ") is not valid UTF-8, which data.tokenizer=char needs"));
}

RetrievalTask::RetrievalTask(const DataOptions& options)
    : DirectoryTask(options), encoder_(kRetrievalLength, kLeastRetrievalFrequency, options) {
  const Layout layout = {{"tsv_data", "aan"}, {kFiles.begin(), kFiles.end()}};
  directory_ = require_directory(options_.root, layout, advice(options_.root, layout));
  prefix_ = message_prefix(options_.root, directory_);
  read_record("retrieval");
  if (encoder_.by_character()) decoded(Split::train);  // its numbering decides the size of the vocabulary
}

std::string RetrievalTask::source_digest(Split split) const {
  SourceIdentity identity(concat("retrieval reader ", kRetrievalReaderVersion, " ", encoder_.name()));
  if (split != Split::train) identity.add(encoder_.numbering());
  identity.add_file(directory_, kFiles[static_cast<size_t>(split)], prefix_);
  return identity.digest();
}

/// First pass of `tokenizer: char` over the training pairs.
void RetrievalTask::number_characters() {
  encoder_ = TextEncoder(kRetrievalLength, kLeastRetrievalFrequency, options_);
  const std::string name = prefix_ + kFiles[0];
  retrieval::read_pairs(fence().open(kFiles[0]), [&](const Pair& pair) {
    for (const size_t document : {0, 1}) {
      if (!encoder_.count(pair.texts[document])) fail_not_utf8(pair, document, name);
    }
  });
  encoder_.number(name);
}

void RetrievalTask::add_pair(const Pair& pair, const std::string& name, KnownDocuments& known,
                             CacheBuilder& builder) {
  std::array<uint32_t, 2> full_lengths{};
  bool cut = false;
  for (const size_t document : {0, 1}) {
    const auto encoded = encoder_.encode(pair.texts[document]);
    if (!encoded) fail_not_utf8(pair, document, name);
    const std::string_view bytes(reinterpret_cast<const char*>(encoded->ids.data()), encoded->ids.size());
    const auto [place, is_new] = known.try_emplace(hash_bytes(bytes), 0);
    if (is_new) place->second = builder.add_document(encoded->ids);
    builder.use_document(place->second);
    full_lengths[document] = encoded->full_length;
    cut = cut || encoded->cut;
  }
  builder.end_row(pair.label, full_lengths, cut);
}

void RetrievalTask::decode(Split split, CacheBuilder& builder) {
  const std::string file = kFiles[static_cast<size_t>(split)];
  KnownDocuments known;
  retrieval::read_pairs(fence().open(file),
                        [&](const Pair& pair) { add_pair(pair, prefix_ + file, known, builder); });
}

std::shared_ptr<const Cache> RetrievalTask::decoded(Split split) {
  const auto index = static_cast<size_t>(split);
  std::shared_ptr<const Cache>& result = decoded_[index];
  if (result) return result;
  CacheRequest request = cache_request();
  request.name = concat(to_string(split), "-", encoder_.name(), ".cache");
  request.source = source_digest(split);
  request.shape.sequences = 2;
  request.shape.properties = 2;
  request.shape.id_offset = encoder_.id_offset();
  request.shape.indexed = true;
  request.limits = encoder_.limits(split == Split::train);
  request.build = [&](CacheBuilder& builder) {
    const bool numbers = encoder_.by_character() && split == Split::train;
    if (numbers) number_characters();
    decode(split, builder);
    if (numbers) encoder_.store(builder);
    if (source_digest(split) != request.source)
      throw DataError::at_file(prefix_ + kFiles[index], "changed while it was read");
  };
  result = open_cache(request);
  if (encoder_.by_character() && split == Split::train) encoder_.load(*result);
  if (is_official() && result->footer.rows != static_cast<uint64_t>(kOfficialPairs[index])) {
    log::warning(concat("retrieval ", to_string(split), ": ",
                        format_count(static_cast<int64_t>(result->footer.rows)),
                        " pairs; the official set has ", format_count(kOfficialPairs[index])));
  }
  return result;
}

Dataset RetrievalTask::open(Split split) {
  return all_rows(decoded(split));
}

std::vector<Attribute> RetrievalTask::attributes() const {
  Attribute length{"longer_length", {0, 1000, 2000, 3000, 4000, 8000, 16000, no_upper_bound()}, nullptr};
  length.value = [](const Dataset& dataset, int64_t row) {
    return std::max(dataset.property(row, 0), dataset.property(row, 1));
  };
  return {length};
}

std::unique_ptr<Task> open_retrieval(const DataOptions& options) {
  return std::make_unique<RetrievalTask>(options);
}

}  // namespace

TaskSpec retrieval_spec() {
  return {.name = "retrieval",
          .length = kRetrievalLength,
          .sequences = 2,
          .options = {{"tokenizer", {"char"}}, {"append_eos", {"true"}}},
          .conflicts = &text_conflicts,
          .open = &open_retrieval,
          .generator = retrieval_generator()};
}

}  // namespace lotformer::data
