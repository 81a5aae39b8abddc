// SPDX-License-Identifier: MIT
#include "lotformer/core/safetensors.h"

#include <algorithm>
#include <limits>
#include <set>
#include <string_view>
#include <utility>

#include "json_scan.h"
#include "lotformer/core/json.h"
#include "lotformer/core/text.h"

namespace lotformer {
namespace {

// A std::map behind the objects: with the insertion-ordered type a header of many names would take quadratic
// time.
using HeaderJson = nlohmann::json;

constexpr uint64_t kPrefixBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the reference implementation
constexpr size_t kMaxDepth = 3;                    // { tensor: { shape: [ ] } }
constexpr size_t kMaxTensors = 1'000'000;
constexpr size_t kMaxDimensions = 64;  // what torch accepts
constexpr size_t kAlignment = 8;

constexpr std::pair<std::string_view, int64_t> kElementSizes[] = {
    {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},     {"I32", 4},     {"I16", 2}, {"I8", 1},
    {"U64", 8}, {"U32", 4}, {"U16", 2}, {"U8", 1},   {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"BOOL", 1}};

/// Bytes of a tensor, or -1 when a dimension is negative or the product does not fit int64. Dimensions of
/// size 0 do not excuse the others: torch multiplies them when it computes strides.
int64_t byte_size(const std::vector<int64_t>& shape, int64_t element_size) {
  int64_t size = element_size;
  bool empty = false;
  for (const int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(size, std::max<int64_t>(extent, 1), &size)) return -1;
    empty = empty || extent == 0;
  }
  return empty ? 0 : size;
}

class HeaderParser {
 public:
  HeaderParser(std::span<const uint8_t> bytes, const std::string& name, ErrorKind kind)
      : bytes_(bytes), name_(name), kind_(kind) {}

  SafetensorsContent parse() {
    const HeaderJson header = read_header();
    for (const auto& [key, value] : header.items()) {
      if (key == "__metadata__") {
        read_metadata(value);
      } else {
        read_tensor(key, value);
      }
    }
    check_cover();
    return std::move(content_);
  }

 private:
  [[noreturn]] void fail(const std::string& reason) const {
    throw Error(kind_, name_ + ": not a valid safetensors file: " + reason);
  }

  HeaderJson read_header() {
    if (bytes_.size() < kPrefixBytes) fail(concat("it has ", bytes_.size(), " bytes, at least 8 wanted"));
    uint64_t length = 0;
    for (size_t i = 0; i < kPrefixBytes; ++i) length |= uint64_t{bytes_[i]} << (8 * i);
    if (length > kMaxHeaderBytes) fail(concat("the header claims ", length, " bytes"));
    if (length > bytes_.size() - kPrefixBytes) {
      fail(concat("the header claims ", length, " bytes, the file has ", bytes_.size() - kPrefixBytes,
                  " after its prefix"));
    }
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + kPrefixBytes, length);
    data_ = bytes_.subspan(kPrefixBytes + length);
    if (text.empty() || text.front() != '{') fail("the header is not a JSON object");
    return parse_header_text(text);
  }

  /// Nesting and duplicate names are refused before anything deep or ambiguous has been built.
  HeaderJson parse_header_text(std::string_view text) const {
    JsonScan<HeaderJson> scan({.depth = kMaxDepth, .members = kMaxTensors});
    if (!scan.scan(text)) fail("the header: " + scan.problem);
    try {
      return HeaderJson::parse(text);
    } catch (const HeaderJson::exception& error) {
      fail("the header is not JSON: " + std::string(error.what()).substr(0, 200));
    }
  }

  void read_metadata(const HeaderJson& value) {
    if (!value.is_object()) fail("__metadata__ is not an object");
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) fail("__metadata__ " + lotformer::quoted(key) + " is not a string");
      content_.metadata[key] = text.get<std::string>();
    }
  }

  int64_t read_size(const HeaderJson& value, const std::string& where) const {
    constexpr auto kMax = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
    if (!value.is_number_unsigned() || value.get<uint64_t>() > kMax)
      fail(where + " holds something else than a size");
    return value.get<int64_t>();
  }

  void read_tensor(const std::string& key, const HeaderJson& value) {
    const std::string where = "tensor " + lotformer::quoted(key);
    if (!value.is_object() || value.size() != 3 || !value.contains("dtype") || !value.contains("shape") ||
        !value.contains("data_offsets")) {
      fail(where + " does not have exactly dtype, shape and data_offsets");
    }
    const HeaderJson &dtype = value["dtype"], &shape = value["shape"], &offsets = value["data_offsets"];
    TensorView view;
    if (dtype.is_string()) view.dtype = dtype.get<std::string>();
    const int64_t element_size = safetensors_element_size(view.dtype);
    if (element_size == 0)
      fail(where + " has unknown dtype " + lotformer::quoted(dtype.is_string() ? view.dtype : dtype.dump()));
    if (!shape.is_array() || shape.size() > kMaxDimensions)
      fail(where + ": shape is not a list of at most 64 sizes");
    for (const HeaderJson& extent : shape) view.shape.push_back(read_size(extent, where + ": shape"));
    if (!offsets.is_array() || offsets.size() != 2) fail(where + ": data_offsets is not a pair");
    const int64_t begin = read_size(offsets[0], where + ": data_offsets");
    const int64_t end = read_size(offsets[1], where + ": data_offsets");
    if (begin > end || static_cast<uint64_t>(end) > data_.size()) {
      fail(concat(where, " claims bytes ", begin, " to ", end, " of ", data_.size()));
    }
    const int64_t size = byte_size(view.shape, element_size);
    if (size != end - begin)
      fail(concat(where, " has ", end - begin, " bytes, its shape wants ",
                  size < 0 ? "too many" : concat(size)));
    view.data = data_.subspan(static_cast<size_t>(begin), static_cast<size_t>(size));
    ranges_.emplace_back(begin, end, key);
    content_.tensors.emplace(key, std::move(view));
  }

  void check_cover() {
    std::sort(ranges_.begin(), ranges_.end());
    int64_t covered = 0;
    for (const auto& [begin, end, key] : ranges_) {
      if (begin != covered) {
        fail(concat("tensor ", lotformer::quoted(key), " begins at byte ", begin,
                    ", the one before it ends at ", covered));
      }
      covered = end;
    }
    if (static_cast<uint64_t>(covered) != data_.size()) {
      fail(concat("the tensors end at byte ", covered, " of the data, which has ", data_.size()));
    }
  }

  std::span<const uint8_t> bytes_, data_;
  const std::string& name_;
  ErrorKind kind_;
  SafetensorsContent content_;
  std::vector<std::tuple<int64_t, int64_t, std::string>> ranges_;  // begin, end, name
};

}  // namespace

int64_t safetensors_element_size(const std::string& dtype) {
  for (const auto& [name, size] : kElementSizes) {
    if (name == dtype) return size;
  }
  return 0;
}

SafetensorsContent parse_safetensors(std::span<const uint8_t> bytes, const std::string& name,
                                     ErrorKind kind) {
  return HeaderParser(bytes, name, kind).parse();
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path, ErrorKind kind)
    : path_(path),
      kind_(kind),
      file_(path, kind),
      content_(parse_safetensors(file_.bytes(), path.string(), kind)) {}

const TensorView& SafetensorsFile::tensor(const std::string& name) const {
  const auto it = content_.tensors.find(name);
  if (it == content_.tensors.end())
    throw Error(kind_, path_.string() + ": has no tensor " + lotformer::quoted(name));
  return it->second;
}

std::string safetensors_header(const std::vector<std::pair<std::string, TensorView>>& tensors,
                               const std::map<std::string, std::string>& metadata) {
  // The text is put together by hand: ordered objects look each new name up linearly.
  std::string header = "{";
  if (!metadata.empty()) header += "\"__metadata__\":" + to_line(Json(metadata)) + ",";
  std::set<std::string> names;
  int64_t offset = 0;
  for (const auto& [name, view] : tensors) {
    const int64_t element_size = safetensors_element_size(view.dtype);
    const auto size = static_cast<int64_t>(view.data.size());
    if (element_size == 0 || byte_size(view.shape, element_size) != size || name == "__metadata__" ||
        !names.insert(name).second) {
      throw Error(ErrorKind::internal, "safetensors_header: tensor " + lotformer::quoted(name) +
                                           " has a wrong size, dtype or name");
    }
    const Json entry = {
        {"dtype", view.dtype}, {"shape", view.shape}, {"data_offsets", {offset, offset + size}}};
    header += to_line(Json(name)) + ":" + to_line(entry) + ",";
    offset += size;
  }
  if (header.back() == ',') header.pop_back();
  header += "}";
  header.append((kAlignment - header.size() % kAlignment) % kAlignment, ' ');

  std::string prefix;
  for (size_t i = 0; i < kPrefixBytes; ++i) prefix += static_cast<char>(header.size() >> (8 * i));
  return prefix + header;
}

void write_safetensors(FileWriter& writer, const std::vector<std::pair<std::string, TensorView>>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  writer.write(safetensors_header(tensors, metadata));
  for (const auto& [name, view] : tensors) writer.write(view.data.data(), view.data.size());
}

}  // namespace lotformer
