// SPDX-License-Identifier: MIT
#include "data/tasks/lines_task.h"

#include <algorithm>
#include <span>
#include <utility>

#include "data/line_reader.h"
#include "data/provenance.h"
#include "lotformer/core/error.h"
#include "lotformer/core/log.h"
#include "lotformer/core/progress.h"
#include "lotformer/core/text.h"

namespace lotformer::data {

void LinesTask::Line::fail(const std::string& reason) const {
  throw DataError::at_line(file, number, reason);
}

LinesTask::LinesTask(const DataOptions& options, Source source, const std::string& task)
    : DirectoryTask(options), longest_(source.cut), source_(std::move(source)) {
  directory_ = require_directory(options_.root, source_.layout, source_.advice);
  prefix_ = message_prefix(options_.root, directory_);
  read_record(task);
}

std::string LinesTask::data_origin() const {
  return provenance_.is_null() ? "custom" : DirectoryTask::data_origin();
}

SourceFile LinesTask::file_of(Split split) const {
  return fence().open(name_of(split));
}

std::string LinesTask::source_digest(Split split) const {
  SourceIdentity identity_of_rows(concat(name(), " reader ", source_.version, " ", source_.variant, " ",
                                         source_.cut, " ", sequences(), " ", identity(split)));
  identity_of_rows.add_file(directory_, name_of(split), prefix_);
  return identity_of_rows.digest();
}

CacheLimits LinesTask::limits(Split /*split*/) const {
  return {.classes = num_classes(),
          .longest = static_cast<uint64_t>(source_.cut),
          .vocabulary = fixed_vocabulary(vocab_size())};
}

void LinesTask::decode(Split split, CacheBuilder& builder) const {
  SourceFile file = file_of(split);
  Line line{{}, file.name(), 0};
  const int64_t bytes = file.size();
  if (bytes == 0) throw DataError::at_file(line.file, "file is empty (0 bytes), an example a line wanted");
  LineReader reader(std::move(file));
  Progress progress("reading " + line.file, bytes, "bytes");
  const auto cut = static_cast<size_t>(source_.cut), count = static_cast<size_t>(sequences());
  Row row;
  std::array<uint32_t, 2> full_lengths{};
  uint8_t largest = 0;
  while (reader.next(line.text)) {
    line.number = reader.line_number();
    if (line.text.empty()) line.fail("blank line, an example wanted");
    for (std::vector<uint8_t>& tokens : row.tokens) tokens.clear();
    read(line, split, row);
    bool is_cut = false;
    for (size_t sequence = 0; sequence < count; ++sequence) {
      const std::vector<uint8_t>& tokens = row.tokens[sequence];
      const std::span<const uint8_t> kept(tokens.data(), std::min(tokens.size(), cut));
      largest = std::max(largest, *std::max_element(kept.begin(), kept.end()));
      full_lengths[sequence] = static_cast<uint32_t>(tokens.size());
      is_cut = is_cut || kept.size() < tokens.size();
      builder.add_document(kept);
    }
    builder.end_row(row.label, std::span(full_lengths).first(count), is_cut);
    progress.update(reader.position());
  }
  builder.set_extra(0, largest);
}

std::shared_ptr<const Cache> LinesTask::decoded(Split split) {
  std::shared_ptr<const Cache>& result = decoded_[static_cast<size_t>(split)];
  if (result) return result;
  CacheRequest request = cache_request();
  request.name = concat(to_string(split), "-", source_.variant, "-", source_.cut, ".cache");
  request.source = source_digest(split);
  request.shape.sequences = static_cast<uint64_t>(sequences());
  request.shape.properties = request.shape.sequences;
  request.shape.id_offset = 1;
  request.limits = limits(split);
  request.build = [&](CacheBuilder& builder) {
    decode(split, builder);
    if (source_digest(split) != request.source)
      throw DataError::at_file(prefix_ + name_of(split), "changed while it was read");
  };
  result = open_cache(request);
  if (result->footer.cut_rows > 0) {
    log::info(concat(name(), " ", to_string(split), ": ",
                     format_count(static_cast<int64_t>(result->footer.cut_rows)), " of ",
                     format_count(static_cast<int64_t>(result->footer.rows)), " rows are longer than ",
                     source_.cut, " tokens and were cut"));
  }
  return result;
}

Dataset LinesTask::open(Split split) {
  return all_rows(decoded(split));
}

std::vector<Attribute> LinesTask::attributes() const {
  const bool pairs = sequences() == 2;
  Attribute length{pairs ? "longer_length" : "length", {0, 25, 100, 250, 1000, 4000, 16000}, nullptr};
  length.edges.push_back(no_upper_bound());
  length.value = [pairs](const Dataset& dataset, int64_t row) {
    return std::max(dataset.property(row, 0), dataset.property(row, pairs ? 1 : 0));
  };
  return {length};
}

int64_t longest_sequence(const Cache& cache) {
  uint64_t longest = 0;
  for (size_t i = 0; i + 1 < cache.offsets.size(); ++i)
    longest = std::max(longest, cache.offsets[i + 1] - cache.offsets[i]);
  return static_cast<int64_t>(longest);
}

}  // namespace lotformer::data
