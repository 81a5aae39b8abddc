// SPDX-License-Identifier: MIT
// Looks through the text of a JSON file from a stranger before anything of it is built: nlohmann's own
// callback costs time quadratic in the number of objects, and its ordered objects in the number of members.
#pragma once

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lotformer/core/text.h"

namespace lotformer {

struct JsonLimits {
  /// Objects and arrays inside each other: copies and destruction recurse.
  size_t depth = 64;
  /// Members of one object.
  size_t members = 10'000;
};

/// `problem` after a scan that returned false: one line.
template <class J>
class JsonScan final : public nlohmann::json_sax<J> {
 public:
  using number_integer_t = typename J::number_integer_t;
  using number_unsigned_t = typename J::number_unsigned_t;
  using number_float_t = typename J::number_float_t;
  using string_t = typename J::string_t;
  using binary_t = typename J::binary_t;

  explicit JsonScan(JsonLimits limits) : limits_(limits) {}

  bool scan(std::string_view text) { return J::sax_parse(text, this); }
  std::string problem;

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return open(); }
  bool start_array(size_t) override { return open(); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (open_.back().size() >= limits_.members)
      return fail(concat("an object has more than ", limits_.members, " members"));
    if (!open_.back().insert(name).second) return fail("name " + lotformer::quoted(name) + " appears twice");
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    return fail("not valid JSON: " + std::string(error.what()).substr(0, 200));
  }

 private:
  bool open() {
    open_.emplace_back();
    return open_.size() <= limits_.depth || fail(concat("nested deeper than ", limits_.depth, " levels"));
  }
  bool close() {
    open_.pop_back();
    return true;
  }
  bool fail(std::string why) {
    problem = std::move(why);
    return false;
  }
  JsonLimits limits_;
  std::vector<std::set<std::string>> open_;
};

}  // namespace lotformer
