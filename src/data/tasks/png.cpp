// SPDX-License-Identifier: MIT
#include "data/tasks/png.h"

#include <png.h>
#include <zlib.h>

#include <csetjmp>
#include <cstring>
#include <vector>

#include "lotformer/core/text.h"

namespace lotformer::data {
namespace {

/// What libpng's callbacks reach: the bytes that are left, and its last complaint. No destructor that a jump
/// could skip.
struct Source {
  const char* bytes = nullptr;
  size_t left = 0;
  char problem[160] = {};
  bool surplus = false;   // image data beyond the last pixel
  bool full_end = false;  // contents in the chunk that ends the file
};

void take_bytes(png_structp png, png_bytep target, png_size_t size) {
  auto* source = static_cast<Source*>(png_get_io_ptr(png));
  if (size > source->left) png_error(png, "the file ends early");
  std::memcpy(target, source->bytes, size);
  source->bytes += size;
  source->left -= size;
}

void on_error(png_structp png, png_const_charp message) {
  auto* source = static_cast<Source*>(png_get_error_ptr(png));
  std::strncpy(source->problem, message, sizeof(source->problem) - 1);
  png_longjmp(png, 1);
}

/// libpng only warns of image data that no pixel needs ("IDAT: Extra compressed data", "Too much image data",
/// "Too many IDATs found") and of an end with contents
/// ("IEND: invalid"); its other warnings concern chunks that are not read.
void on_warning(png_structp png, png_const_charp message) {
  auto* source = static_cast<Source*>(png_get_error_ptr(png));
  for (const char* piece : {"IDAT", "image data", "compressed data"})
    source->surplus = source->surplus || std::strstr(message, piece) != nullptr;
  source->full_end = source->full_end || std::strstr(message, "IEND") != nullptr;
}

/// libpng's two structures; a wrong checksum is an error in every chunk.
class Reader {
 public:
  explicit Reader(Source& source)
      : png_(png_create_read_struct(PNG_LIBPNG_VER_STRING, &source, on_error, on_warning)),
        info_(png_ == nullptr ? nullptr : png_create_info_struct(png_)) {
    if (!ready()) return;
    png_set_read_fn(png_, &source, take_bytes);
    png_set_crc_action(png_, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_chunk_malloc_max(png_, png_alloc_size_t{1} << 20);
  }
  ~Reader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  bool ready() const { return info_ != nullptr; }
  png_structp png() const { return png_; }
  png_infop info() const { return info_; }

 private:
  png_structp png_;
  png_infop info_;
};

// setjmp stands in functions of its own, which hold nothing that needs a destructor.
bool read_header(const Reader& reader) {
  if (setjmp(png_jmpbuf(reader.png())) != 0) return false;
  png_read_info(reader.png(), reader.info());
  return true;
}

bool read_rows(const Reader& reader, png_bytepp rows) {
  if (setjmp(png_jmpbuf(reader.png())) != 0) return false;
  png_set_interlace_handling(reader.png());
  png_read_image(reader.png(), rows);
  png_read_end(reader.png(), nullptr);  // the checksums of what follows the pixels
  return true;
}

const char* colour_name(int type) {
  switch (type) {
    case PNG_COLOR_TYPE_GRAY:
      return "grey";
    case PNG_COLOR_TYPE_GRAY_ALPHA:
      return "grey with alpha";
    case PNG_COLOR_TYPE_PALETTE:
      return "palette";
    case PNG_COLOR_TYPE_RGB:
      return "RGB colour";
    default:
      return "RGB colour with alpha";
  }
}

std::string check_header(const Reader& reader, int64_t edge) {
  const auto width = png_get_image_width(reader.png(), reader.info());
  const auto height = png_get_image_height(reader.png(), reader.info());
  const int depth = png_get_bit_depth(reader.png(), reader.info());
  const int colour = png_get_color_type(reader.png(), reader.info());
  if (depth != 8 || colour != PNG_COLOR_TYPE_GRAY)
    return concat("is a ", depth, "-bit ", colour_name(colour), " image, 8-bit grey wanted");
  if (width != edge || height != edge)
    return concat("is ", width, " x ", height, " pixels, ", edge, " x ", edge, " wanted");
  if (png_get_valid(reader.png(), reader.info(), PNG_INFO_tRNS) != 0)
    return "PNG has a transparent grey (tRNS), plain 8-bit grey wanted";
  return "";
}

/// Whether IDAT chunks go on behind the end of their zlib stream: libpng looks no further than the chunk in
/// which the stream ends. For a file that libpng has read to its end; its stream holds at most `most` bytes.
bool has_data_behind_stream(std::string_view file, size_t most) {
  std::string data;
  int chunks = 0;
  constexpr size_t kFrame = 12;  // length, type, checksum
  for (size_t at = 8; at + kFrame <= file.size();) {
    uint32_t length = 0;
    for (size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<uint8_t>(file[at + i]);
    if (length > file.size() - at - kFrame) break;
    if (file.substr(at + 4, 4) == "IDAT") {
      data += file.substr(at + 8, length);
      ++chunks;
    }
    at += kFrame + length;
  }
  if (chunks < 2) return false;
  std::vector<Bytef> rows(most);
  uLongf size = rows.size();
  uLong used = data.size();
  const int result = uncompress2(rows.data(), &size, reinterpret_cast<const Bytef*>(data.data()), &used);
  return result == Z_OK && used != data.size();
}

}  // namespace

std::string decode_grey_png(std::string_view file, int64_t edge, std::span<uint8_t> pixels) {
  constexpr size_t kSignature = 8;
  if (file.size() < kSignature ||
      png_sig_cmp(reinterpret_cast<png_const_bytep>(file.data()), 0, kSignature) != 0)
    return "is not a PNG file (wrong signature)";
  std::vector<png_bytep> rows;
  for (int64_t y = 0; y < edge; ++y) rows.push_back(pixels.data() + y * edge);
  Source source{file.data(), file.size(), {}, false, false};
  const Reader reader(source);
  if (!reader.ready()) return "PNG cannot be decoded: libpng does not start";
  const auto problem = [&source] { return concat("PNG cannot be decoded: ", source.problem); };
  if (!read_header(reader)) return problem();
  if (std::string wrong = check_header(reader, edge); !wrong.empty()) return wrong;
  if (!read_rows(reader, rows.data())) return problem();
  const auto most = static_cast<size_t>(edge * (edge + 4) + 64);  // interlaced rows have more filter bytes
  if (source.surplus || has_data_behind_stream(file, most))
    return "PNG has more image data than its pixels need";
  if (source.full_end) return "PNG has an end (IEND) that is not empty";
  if (source.left != 0) return concat("PNG has ", source.left, " bytes after its end (IEND)");
  return "";
}

}  // namespace lotformer::data
