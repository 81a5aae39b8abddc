// SPDX-License-Identifier: MIT
#include "data/tasks/listops.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <limits>

#include "data/cache.h"
#include "data/generate/generators.h"
#include "data/provenance.h"
#include "data/tasks/layout.h"
#include "data/tasks/listops_files.h"
#include "data/tasks/listops_reader.h"
#include "data/tasks/listops_vocabulary.h"
#include "data/tasks/source_files.h"
#include "lotformer/core/log.h"
#include "lotformer/core/text.h"
#include "lotformer/data/listops_generator.h"

namespace lotformer::data {
namespace fs = std::filesystem;
namespace {

// Part of the caches' identity: raise it when rows would be read otherwise.
constexpr int kListOpsReaderVersion = 2;
constexpr int64_t kNoUpperBound = std::numeric_limits<int64_t>::max();
constexpr int64_t kFullLength = 0, kDepth = 1;  // indices of Dataset::property

class ListopsTask final : public Task {
 public:
  explicit ListopsTask(const DataOptions& options);

  std::string name() const override { return "listops"; }
  int64_t vocab_size() const override { return encoding_.vocab_size(); }
  int64_t num_classes() const override { return 10; }
  int64_t max_length() const override { return std::max(encoding_.max_length(), options_.pad_to); }
  std::vector<std::string> class_names() const override;
  Vocabulary vocabulary() const override { return {Vocabulary::Kind::expression, encoding_.tokens()}; }
  Dataset open(Split split) override;
  std::string data_origin() const override { return origin_; }
  Json provenance() const override { return provenance_; }
  fs::path folder() const override { return directory_; }
  std::vector<Reference> references() override;
  std::vector<Attribute> attributes() const override;

 private:
  Links links() const { return options_.follow_links ? Links::anywhere : Links::inside; }
  void find_files();
  void generate_missing();
  [[noreturn]] void fail_not_found() const;
  std::string source_digest(Split split, const listops::Encoding& encoding) const;
  std::shared_ptr<const Cache> open_encoded(Split split, const listops::Encoding& encoding);
  void warn_unofficial_size(Split split, int64_t rows) const;

  DataOptions options_;
  std::array<std::shared_ptr<const Cache>, 3> opened_;
  listops::Encoding encoding_;
  bool numbered_ = false;  // encoding_ knows the training file's token counts, where it needs them
  fs::path directory_;
  std::string prefix_;  // of file names in messages
  Json provenance_;
  bool contents_checked_ = false;  // against the record
  std::string origin_;
};

ListopsTask::ListopsTask(const DataOptions& options) : options_(options), encoding_(options) {
  if (options_.generate_missing) generate_missing();
  find_files();
}

void ListopsTask::find_files() {
  directory_ = listops::find_directory(options_.root);
  if (directory_.empty()) fail_not_found();
  prefix_ = message_prefix(options_.root, directory_);
  if (const auto missing = listops::missing_files(directory_); !missing.empty()) {
    throw DataError::at_file(
        prefix_ + missing.front(),
        concat("not found in ", fs::absolute(directory_).lexically_normal().string(),
               ", which holds other ListOps files; restore it, or move the folder away and run "
               "'lotformer-data generate --task listops --root ",
               options_.root, "'"));
  }
  provenance_ = read_provenance(directory_, options_.root, "listops", links());
  check_files(provenance_, directory_, prefix_, options_.rebuild_cache, links());
  contents_checked_ = options_.rebuild_cache;
  origin_ = origin_of(provenance_, name());
  if (origin_ != "generated") return;
  // A sample of the official distribution, or expressions of another kind.
  const bool stated = provenance_.contains("parameters");
  if (!stated ||
      !has_official_distribution(listops_parameters_from_json(provenance_, prefix_ + kProvenanceFile)))
    origin_ = "synthetic";
}

void ListopsTask::fail_not_found() const {
  std::vector<std::string> looked;
  for (const fs::path& candidate : listops::candidate_directories(options_.root))
    looked.push_back(candidate.string());
  throw DataError::at_file(concat(listops::kDirectoryName, "/", listops::kFileNames[0]),
                           concat("not found; looked in ", join(looked, ", "),
                                  "; make the data with 'lotformer-data generate "
                                  "--task listops --root ",
                                  options_.root, "' or set data.generate_missing: true"));
}

/// `data.generate_missing: true`: afterwards the official set is there, or an Error says why not.
void ListopsTask::generate_missing() {
  const ListopsParameters official;
  const fs::path found = listops::find_directory(options_.root);
  if (!found.empty()) {
    const Json record = read_provenance(found, options_.root, "listops", links());
    if (record.is_null()) return;  // taken for the official files; find_files() reports what is missing
    const std::string where = (found / kProvenanceFile).string();
    const std::string difference = first_difference(listops_parameters_from_json(record, where), official);
    if (!difference.empty()) {
      throw Error(
          ErrorKind::data,
          concat(found.string(), ": was generated with other parameters than the official set (", difference,
                 "); data.generate_missing=false uses it as it is, another data.root "
                 "makes the official set there"));
    }
    if (listops::missing_files(found).empty()) return;
  }
  log::info(concat("ListOps is not in ", options_.root, ": making the official set there (seed 0, ",
                   format_count(official.train), " / ", format_count(official.val), " / ",
                   format_count(official.test), " rows, about 665 MB)"));
  generate_listops(options_.root, official);
}

std::vector<std::string> ListopsTask::class_names() const {
  std::vector<std::string> names;
  for (int digit = 0; digit < 10; ++digit) names.push_back(std::to_string(digit));
  return names;
}

std::string ListopsTask::source_digest(Split split, const listops::Encoding& encoding) const {
  const fs::path path = directory_ / listops::file_name(split);
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0)
    throw DataError::at_file(prefix_ + listops::file_name(split), "not found");
  return hash_bytes(concat("listops reader ", kListOpsReaderVersion, " ", listops::file_name(split), " ",
                           info.st_size, " ", info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec, " ",
                           encoding.name(), " ", encoding.numbering()));
}

std::shared_ptr<const Cache> ListopsTask::open_encoded(Split split, const listops::Encoding& encoding) {
  CacheRequest request;
  request.source_directory = directory_;
  request.name = concat(to_string(split), "-", encoding.name(), ".cache");
  request.source = source_digest(split, encoding);
  request.shape.properties = 2;
  request.limits = {.classes = 10,
                    .longest = static_cast<uint64_t>(encoding.max_length()),
                    .vocabulary = fixed_vocabulary(encoding.vocab_size())};
  request.required_flags = options_.verify_labels ? kCacheLabelsVerified : 0;
  request.rebuild = options_.rebuild_cache;
  request.verify = [this] {
    if (!contents_checked_) check_files(provenance_, directory_, prefix_, true, links());
    contents_checked_ = true;
  };
  request.build = [&](CacheBuilder& builder) {
    std::array<uint64_t, listops::kTokens> counts{};
    std::vector<uint8_t> ids;
    const std::string file = listops::file_name(split);
    listops::read_rows(FileFence(directory_, prefix_, links()).open(file), options_.verify_labels,
                       [&](const listops::Row& row) {
                         for (const uint8_t token : row.tokens) ++counts[token];
                         const bool cut = encoding.encode(row.tokens, ids);
                         builder.add_document(ids);
                         const std::array<uint32_t, 2> properties = {static_cast<uint32_t>(row.tokens.size()),
                                                                     static_cast<uint32_t>(row.depth)};
                         builder.end_row(row.label, properties, cut);
                       });
    for (size_t token = 0; token < counts.size(); ++token) builder.set_extra(token, counts[token]);
    if (options_.verify_labels) builder.set_flags(kCacheLabelsVerified);
    if (source_digest(split, encoding) != request.source) {
      throw DataError::at_file(prefix_ + file, "changed while it was read");
    }
  };
  return open_cache(request);
}

Dataset ListopsTask::open(Split split) {
  if (encoding_.needs_token_counts() && !numbered_) {
    const auto train = open_encoded(Split::train, listops::Encoding(DataOptions{}));
    encoding_.number_by_frequency(train->footer.extras);
    numbered_ = true;
  }
  std::shared_ptr<const Cache>& opened = opened_[static_cast<size_t>(split)];
  if (opened) return all_rows(opened);
  opened = open_encoded(split, encoding_);
  const Dataset dataset = all_rows(opened);
  warn_unofficial_size(split, dataset.size());
  if (dataset.cut_examples() > 0) {
    log::info(concat("listops ", to_string(split), ": ", format_count(dataset.cut_examples()), " of ",
                     format_count(dataset.size()), " rows are longer than ", encoding_.max_length(),
                     " tokens and were cut"));
  }
  return dataset;
}

/// Files without a record are taken for the official ones, whose sizes are known.
void ListopsTask::warn_unofficial_size(Split split, int64_t rows) const {
  const ListopsParameters official;
  const int64_t wanted = split == Split::train ? official.train
                         : split == Split::val ? official.val
                                               : official.test;
  if (!provenance_.is_null() || rows == wanted) return;
  log::warning(concat("listops ", to_string(split), ": ", format_count(rows), " rows; the official set has ",
                      format_count(wanted)));
}

std::vector<Reference> ListopsTask::references() {
  const bool official = provenance_.is_null() && open(Split::train).size() == ListopsParameters{}.train;
  if (official || origin_ == "generated") {
    return {{"always 0", 0.178, "official distribution"},
            {"root operator alone", 0.367, "official distribution"}};
  }
  const Dataset train = open(Split::train);
  std::array<std::array<int64_t, 10>, 256> by_root{};  // [first token][label]
  std::array<int64_t, 10> by_label{};
  for (int64_t row = 0; row < train.size(); ++row) {
    const auto label = static_cast<size_t>(train.label(row));
    ++by_label[label];
    ++by_root[train.bytes(row)[0]][label];
  }
  const auto most_frequent = std::max_element(by_label.begin(), by_label.end());
  int64_t right_by_root = 0;
  for (const auto& labels : by_root) right_by_root += *std::max_element(labels.begin(), labels.end());
  const auto rows = static_cast<double>(train.size());
  const std::string source = "measured on the training split";
  return {{concat("always ", most_frequent - by_label.begin()), static_cast<double>(*most_frequent) / rows,
           source},
          {"root operator alone", static_cast<double>(right_by_root) / rows, source}};
}

std::vector<Attribute> ListopsTask::attributes() const {
  // Tokens of the whole expression, so that the bins mean the same with every tokeniser. Fine bins serve
  // short generated sets.
  Attribute length{"length", {0, 25, 50, 100, 250, 500, 750, 1000, 1250, 1500, 1750, 2000}, nullptr};
  length.edges.push_back(kNoUpperBound);
  length.value = [](const Dataset& dataset, int64_t row) { return dataset.property(row, kFullLength); };
  Attribute depth{"depth", {}, nullptr};
  for (int64_t edge = 1; edge <= 10; ++edge) depth.edges.push_back(edge);
  depth.edges.push_back(11);
  depth.edges.push_back(kNoUpperBound);
  depth.value = [](const Dataset& dataset, int64_t row) { return dataset.property(row, kDepth); };
  return {length, depth};
}

std::unique_ptr<Task> open_listops(const DataOptions& options) {
  return std::make_unique<ListopsTask>(options);
}

std::vector<Conflict> conflicts(const DataOptions& options) {
  if (options.tokenizer == "default" || options.vocab == "default") return {};
  return {{{"data.vocab", "data.tokenizer"},
           concat("vocab ", options.vocab, " and tokenizer ", options.tokenizer,
                  " belong to different harnesses; set one of the two to default")}};
}

}  // namespace

TaskSpec listops_spec() {
  return {.name = "listops",
          .length = listops::kLength,
          .vocabulary = Vocabulary::Kind::expression,
          .options = {{"generate_missing", {"true"}},
                      {"tokenizer", {"alnum"}},
                      {"vocab", {"s4"}},
                      {"append_eos", {"true"}},
                      {"verify_labels", {"true"}}},
          .conflicts = &conflicts,
          .open = &open_listops,
          .generator = listops_generator()};
}

}  // namespace lotformer::data
