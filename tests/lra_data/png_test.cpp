// SPDX-License-Identifier: MIT
// The PNG decoder: every byte of a file matters, and no number in it is believed.
#include "data/tasks/png.h"

#include <cstring>

#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

const std::string kImage =
    read_text(fs::path(LOTFORMER_TEST_DATA) /
              "fixtures/lra_release/lra_release/pathfinder32/curv_contour_length_14/imgs/0/sample_0.png");

std::string decode(const std::string& file, int64_t edge = 32) {
  std::vector<uint8_t> pixels(static_cast<size_t>(edge * edge));
  return decode_grey_png(file, edge, pixels);
}

uint32_t crc(std::string_view bytes) {
  uint32_t value = 0xFFFFFFFFU;
  for (const char c : bytes) {
    value ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1U) != 0 ? 0xEDB88320U : 0);
  }
  return ~value;
}

std::string big_endian(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
  return bytes;
}

std::string chunk(const std::string& type, const std::string& data) {
  return big_endian(static_cast<uint32_t>(data.size())) + type + data + big_endian(crc(type + data));
}

/// The image with another header: width, height, and the bytes depth, colour, compression, filter, interlace.
std::string with_header(uint32_t width, uint32_t height, const std::string& rest) {
  return kImage.substr(0, 8) + chunk("IHDR", big_endian(width) + big_endian(height) + rest) +
         kImage.substr(33);
}

TEST_CASE("png: a right one, cut anywhere, and with any byte changed") {
  CHECK(decode(kImage) == "");
  for (size_t size = 0; size < kImage.size(); ++size) {
    INFO("first " << size << " bytes");
    CHECK(contains(decode(kImage.substr(0, size)), "PNG"));
  }
  for (size_t place = 0; place < kImage.size(); ++place) {
    INFO("byte " << place);
    std::string changed = kImage;
    changed[place] = static_cast<char>(changed[place] ^ 0x10);
    CHECK(decode(changed) != "");
  }
}

TEST_CASE("png: sizes and kinds that are not wanted, with right checksums") {
  const std::string grey(5, '\0');
  const auto kind = [&](int depth, int colour) {
    std::string rest = grey;
    rest[0] = static_cast<char>(depth);
    rest[1] = static_cast<char>(colour);
    return rest;
  };
  CHECK(decode(with_header(32, 32, kind(8, 0))) == "");
  CHECK(decode(with_header(31, 32, kind(8, 0))) == "is 31 x 32 pixels, 32 x 32 wanted");
  CHECK(decode(with_header(32, 31, kind(8, 0))) == "is 32 x 31 pixels, 32 x 32 wanted");
  CHECK(decode(kImage, 64) == "is 32 x 32 pixels, 64 x 64 wanted");
  CHECK(decode(with_header(32, 32, kind(16, 0))) == "is a 16-bit grey image, 8-bit grey wanted");
  CHECK(decode(with_header(32, 32, kind(1, 0))) == "is a 1-bit grey image, 8-bit grey wanted");
  CHECK(contains(decode(with_header(32, 32, kind(8, 2))), "RGB colour"));
  CHECK(contains(decode(with_header(32, 32, kind(8, 4))), "grey with alpha"));
  CHECK(contains(decode(with_header(32, 32, kind(8, 6))), "alpha"));
  for (const uint32_t huge : {0U, 0x7FFFFFFFU, 0x80000000U, 0xFFFFFFFFU, 1000000U}) {
    CHECK(decode(with_header(huge, huge, kind(8, 0))) != "");
    CHECK(decode(with_header(32, huge, kind(8, 0))) != "");
  }
  CHECK(decode(with_header(32, 32, kind(7, 0))) != "");
  const std::string transparent = chunk("tRNS", std::string(2, '\0'));
  CHECK(decode(kImage.substr(0, 33) + transparent + kImage.substr(33)) ==
        "PNG has a transparent grey (tRNS), plain 8-bit grey wanted");
  CHECK(decode(with_header(32, 32, kind(8, 9))) != "");
}

/// `bytes` as stored blocks of a zlib stream.
std::string stored(const std::string& bytes) {
  uint32_t a = 1, b = 0;
  for (const char c : bytes) {
    a = (a + static_cast<uint8_t>(c)) % 65521;
    b = (b + a) % 65521;
  }
  const auto size = static_cast<uint16_t>(bytes.size());
  std::string block = "\x78\x01\x01";
  for (const uint16_t part : {size, static_cast<uint16_t>(~size)}) {
    block += static_cast<char>(part);
    block += static_cast<char>(part >> 8);
  }
  return block + bytes + big_endian(b << 16 | a);
}

TEST_CASE("png: nothing follows the pixels") {
  const std::string end = chunk("IEND", "");
  const auto image = [&](const std::string& data, const std::string& more = "") {
    return decode(kImage.substr(0, 33) + chunk("IDAT", data) + more + end);
  };
  const std::string rows(32 * 33, '\0');
  const std::string surplus = "PNG has more image data than its pixels need";
  CHECK(image(stored(rows)) == "");
  CHECK(decode(kImage + "x") == "PNG has 1 bytes after its end (IEND)");
  CHECK(decode(kImage + kImage) == concat("PNG has ", kImage.size(), " bytes after its end (IEND)"));
  CHECK(image(stored(rows + '\0')) == surplus);                   // part of a row
  CHECK(image(stored(rows + std::string(33, '\0'))) == surplus);  // a row, then many
  CHECK(image(stored(rows + std::string(5000, '\0'))) == surplus);
  CHECK(image(stored(rows) + "more") == surplus);                // behind the stream, in its chunk
  CHECK(image(stored(rows), chunk("IDAT", "more")) == surplus);  // and in another
  CHECK(decode(kImage.substr(0, 33) + chunk("IDAT", stored(rows)) + chunk("IEND", "more")) ==
        "PNG has an end (IEND) that is not empty");
  CHECK(image(stored(rows), chunk("tEXt", std::string("a\0b", 3)) + chunk("IDAT", "more")) == surplus);
}

TEST_CASE("png: lengths of chunks that the file does not have") {
  for (const uint32_t length : {0x7FFFFFFFU, 0xFFFFFFFFU, 1000000U, 0U}) {
    std::string file = kImage;
    const size_t at = file.find("IDAT") - 4;
    file.replace(at, 4, big_endian(length));
    CHECK(contains(decode(file), "PNG"));
    const std::string text = kImage.substr(0, 33) + big_endian(length) + "zTXt" + kImage.substr(33);
    CHECK(contains(decode(text), "PNG"));
  }
  const std::string twice = kImage.substr(0, 33) + kImage.substr(8, 25) + kImage.substr(33);
  CHECK(contains(decode(twice), "PNG"));
  const std::string comment = kImage.substr(0, 33) + chunk("tEXt", "a comment") + kImage.substr(33);
  CHECK(decode(comment) == "");
  std::string bad_comment = comment;
  bad_comment[45] = static_cast<char>(bad_comment[45] ^ 1);
  CHECK(contains(decode(bad_comment), "PNG"));  // checksums of what is not shown count as well
}

}  // namespace
}  // namespace lotformer::data::test
