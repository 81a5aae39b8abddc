// SPDX-License-Identifier: MIT
#include "data/tasks/retrieval_reader.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "data/line_reader.h"
#include "lotformer/core/error.h"
#include "lotformer/core/progress.h"
#include "lotformer/core/text.h"

namespace lotformer::data::retrieval {
namespace {

constexpr size_t kColumns = 5;

std::string column_problem(std::string_view line, size_t columns) {
  if (line.empty()) return "blank line inside the data: a row has 5 columns";
  const std::string found = concat("row has ", columns, columns == 1 ? " column" : " columns", ", 5 wanted");
  if (columns != 3) return found;
  return found + ": this is the release of ids only, which has no texts";
}

int parse_label(std::string_view text, int64_t number, const std::string& name) {
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc{} || result.ptr != text.data() + text.size()) {
    throw DataError::at_line(
        name, number, concat("label ", quoted(text), " is not a number (a header does not belong here)"));
  }
  if (value != 0 && value != 1)
    throw DataError::at_line(name, number, concat("label ", printable(text), " is not 0 or 1"));
  return value == 1 ? 1 : 0;
}

}  // namespace

Pair parse_pair(std::string_view line, int64_t number, const std::string& name) {
  std::string_view columns[kColumns];
  size_t found = 0;
  for (std::string_view rest = line;;) {
    const size_t tab = rest.find('\t');
    if (found < kColumns) columns[found] = rest.substr(0, tab);
    ++found;
    if (tab == std::string_view::npos) break;
    rest.remove_prefix(tab + 1);
  }
  if (found != kColumns) throw DataError::at_line(name, number, column_problem(line, found));
  Pair pair;
  pair.line = number;
  pair.label = parse_label(columns[0], number, name);
  for (size_t i = 0; i < 2; ++i) {
    pair.ids[i] = columns[1 + i];
    pair.texts[i] = columns[3 + i];
    if (pair.texts[i].empty()) {
      throw DataError::at_line(
          name, number,
          concat(i == 0 ? "first" : "second", " document (", printable(pair.ids[i]), ") is empty"));
    }
  }
  return pair;
}

void read_pairs(SourceFile file, const std::function<void(const Pair&)>& take) {
  const std::string name = file.name();
  const int64_t bytes = file.size();
  if (bytes == 0) throw DataError::at_file(name, "file is empty (0 bytes)");
  LineReader reader(std::move(file));
  Progress progress("reading " + name, bytes, "bytes");
  std::string_view line;
  while (reader.next(line)) {
    take(parse_pair(line, reader.line_number(), name));
    progress.update(reader.position());
  }
}

}  // namespace lotformer::data::retrieval
