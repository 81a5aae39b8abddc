// SPDX-License-Identifier: MIT
// Orders of the data contract, sections 5 to 7, by its own checksums.
#include "data/split_order.h"

#include "data/md5.h"
#include "support.h"
#include "support/catch.h"
#include "support/sha256.h"

namespace lotformer::data::test {
namespace {

std::string digest(const std::vector<uint32_t>& order) {
  return lotformer::test::sha256({reinterpret_cast<const char*>(order.data()), 4 * order.size()});
}

std::string md5_hex(std::string_view text) {
  std::string hex;
  for (const uint8_t byte : md5(text)) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

TEST_CASE("orders: the digests themselves") {
  CHECK(lotformer::test::sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  // RFC 1321, appendix A.5.
  CHECK(md5_hex("") == "d41d8cd98f00b204e9800998ecf8427e");
  CHECK(md5_hex("message digest") == "f96b697d7cb7938d525a2f31aaf161d0");
  CHECK(md5_hex("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") ==
        "d174ab98d277d9f5a5611c2c9f419d9f");
  CHECK(md5_hex("12345678901234567890123456789012345678901234567890123456789012345678901234567890") ==
        "57edf4a22be3c955ac49da2e2107b67a");
}

TEST_CASE("orders: tfds of 50,000 images") {
  const auto order = tfds_order(50000, "train", [](uint32_t i) { return std::to_string(i); });
  CHECK(std::vector<uint32_t>(order.begin(), order.begin() + 5) ==
        std::vector<uint32_t>{16399, 1680, 47917, 17307, 27051});
  CHECK(std::vector<uint32_t>(order.begin() + 45000, order.begin() + 45005) ==
        std::vector<uint32_t>{13431, 9237, 17462, 32685, 9518});
  CHECK(digest(order) == "3b05e897f13d5849fe98bcd6526837644bbc6e7182310f78763d811f9c1298ec");
}

TEST_CASE("orders: torch42") {
  CHECK(digest(torch42_order(50000)) == "15bd7ad5aed2bf0508af90aae495c077a1208c08747afef2f8e8ab6221f86404");
  CHECK(digest(torch42_order(200000)) == "4f06df2898b69fea2c899afba492463395406f0c2c466f5a34749b1c1c601e79");
  CHECK(digest(torch42_order(199999)) == "e2fcbf3d24ce23964a4cd11cad49547f98b8bc683b1c09d3017040fe4332ef09");
  CHECK(torch42_order(0).empty());
  CHECK(torch42_order(1) == std::vector<uint32_t>{0});
  CHECK(file_order(3) == std::vector<uint32_t>{0, 1, 2});
}

}  // namespace
}  // namespace lotformer::data::test
