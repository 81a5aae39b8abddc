// SPDX-License-Identifier: MIT
#include "data/tasks/pathfinder_metadata.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <unordered_set>

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"

namespace lotformer::data::pathfinder {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kMostBytes = int64_t{64} << 20;  // of a metadata file; official ones have about 50 KB
constexpr std::string_view kNumpyMagic = "\x93NUMPY";

/// The first four columns, and how many there are in all.
struct Columns {
  std::array<std::string_view, 4> text;
  size_t count = 0;
};

Columns split_columns(std::string_view line) {
  Columns columns;
  constexpr std::string_view kBlank = " \t";
  size_t at = line.find_first_not_of(kBlank);
  while (at != std::string_view::npos) {
    const size_t end = std::min(line.find_first_of(kBlank, at), line.size());
    if (columns.count < columns.text.size()) columns.text[columns.count] = line.substr(at, end - at);
    ++columns.count;
    at = line.find_first_not_of(kBlank, end);
  }
  return columns;
}

/// Whether a path stays below the folder it starts from, as far as its text says.
bool stays_inside(std::string_view path) {
  if (path.front() == '/' || path.size() > 255 || path.find('\0') != std::string_view::npos) return false;
  const fs::path parts(path);
  return std::none_of(parts.begin(), parts.end(), [](const fs::path& part) { return part == ".."; });
}

Image parse_line(std::string_view line, const std::string& name, int64_t number) {
  // Line ends of one CR each would make one line of the whole file, of which four columns are read.
  if (line.find('\r') != std::string_view::npos)
    throw DataError::at_line(name, number, "a carriage return inside the line; lines end with LF or CR LF");
  const Columns columns = split_columns(line);
  if (columns.count < 4) {
    throw DataError::at_line(name, number,
                             concat("line has ", columns.count, columns.count == 1 ? " column" : " columns",
                                    ", at least 4 wanted"));
  }
  Image image{columns.text[0], columns.text[1], 0, 0, number};
  for (const std::string_view path : {image.folder, image.file}) {
    if (!stays_inside(path))
      throw DataError::at_line(name, number, concat("path ", quoted(path), " leaves the data directory"));
  }
  const std::string_view label = columns.text[3];
  const auto result = std::from_chars(label.data(), label.data() + label.size(), image.label);
  if (result.ec == std::errc::invalid_argument || result.ptr != label.data() + label.size())
    throw DataError::at_line(name, number, concat("label ", quoted(label), " is not an integer"));
  if (result.ec != std::errc{} || image.label < 0 || image.label > 1)
    throw DataError::at_line(name, number, concat("label ", printable(label), " outside 0..1"));
  return image;
}

/// "12.npy" -> 12
bool parse_name(std::string_view name, int64_t& number) {
  constexpr std::string_view kEnding = ".npy";
  if (!name.ends_with(kEnding)) return false;
  name.remove_suffix(kEnding.size());
  const auto parsed = std::from_chars(name.data(), name.data() + name.size(), number);
  return !name.starts_with('-') && name.size() <= 9 && parsed.ec == std::errc{} &&
         parsed.ptr == name.data() + name.size();
}

}  // namespace

std::vector<MetadataFile> list_metadata(const fs::path& directory, const std::string& prefix, Links links) {
  FileFence(directory, prefix, links).require_folder("metadata");
  std::vector<MetadataFile> result;
  std::string stray;  // the first name by byte order that is none of ours: nothing is passed over
  Droppings droppings(prefix + "metadata");
  std::error_code code;
  for (fs::directory_iterator entry(directory / "metadata", code); !code && entry != fs::directory_iterator();
       entry.increment(code)) {
    const std::string name = entry->path().filename().string();
    if (droppings.take(name)) continue;
    MetadataFile file{"metadata/" + name, 0};
    if (parse_name(name, file.number))
      result.push_back(std::move(file));
    else if (stray.empty() || name < stray)
      stray = name;
  }
  if (code) throw DataError::at_file(prefix + "metadata", "cannot be read: " + code.message());
  if (result.empty() && !stray.ends_with(".npy"))
    throw DataError::at_file(prefix + "metadata", "no metadata file (<number>.npy) in it");
  if (!stray.empty())
    throw DataError::at_file(concat(prefix, "metadata/", printable(stray)), "file name is not <number>.npy");
  std::sort(result.begin(), result.end(), [](const MetadataFile& a, const MetadataFile& b) {
    return a.number != b.number ? a.number < b.number : a.name < b.name;
  });
  for (size_t i = 1; i < result.size(); ++i) {
    if (result[i].number == result[i - 1].number)
      throw DataError::at_file(prefix + result[i].name, concat("has the number of ", result[i - 1].name));
  }
  return result;
}

void parse_metadata(std::string_view text, const std::string& name, int64_t batch,
                    const std::function<void(const Image&)>& take) {
  if (text.empty()) throw DataError::at_file(name, "metadata file is empty (0 bytes)");
  refuse_byte_order_mark(text, name);
  if (text.starts_with(kNumpyMagic)) {
    throw DataError::at_file(
        name,
        "is a binary NumPy file, as the drawing script writes them; the released metadata are plain text");
  }
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    Image image = parse_line(line, name, number);
    image.batch = batch;
    take(image);
  }
}

void read_metadata(const fs::path& directory, const std::string& prefix, Links links,
                   const std::function<void(const Image&)>& take) {
  FileFence fence(directory, prefix, links);
  std::string text;
  std::unordered_set<std::string> listed;  // 200,000 names of about 25 bytes
  for (const MetadataFile& file : list_metadata(directory, prefix, links)) {
    fence.read(file.name, kMostBytes, text);
    parse_metadata(text, prefix + file.name, file.number, [&](const Image& image) {
      const std::string path = (fs::path(image.folder) / image.file).lexically_normal().string();
      if (!listed.insert(path).second)
        throw DataError::at_line(prefix + file.name, image.line,
                                 concat("image ", printable(path), " is listed twice"));
      take(image);
    });
  }
}

}  // namespace lotformer::data::pathfinder
