// SPDX-License-Identifier: MIT
// Small text helpers (g++ 12 has no std::format).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace lotformer {

/// Streams all arguments into one string.
template <class... Args>
std::string concat(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return out.str();
}

/// Shortest decimal text that reads back as the same double (0.1 -> "0.1").
std::string format_double(double value);
/// Fixed decimals: format_fixed(3.14159, 2) -> "3.14".
std::string format_fixed(double value, int decimals);
/// "1.4 GiB", "12 KiB"
std::string format_bytes(int64_t bytes);
/// "2h 05m", "41s"
std::string format_duration(double seconds);
/// "96,000"
std::string format_count(int64_t value);
/// The candidate with the smallest edit distance to `word`, or "" when none is close (more than a third of it
/// wrong).
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);
/// The end of a message about an unknown `word`: "; did you mean 'x'?" with the nearest candidate, or "".
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);
/// `text` in single quotes with control and non-ASCII bytes escaped and cut at `max_length` bytes, for
/// messages.
std::string quoted(std::string_view text, size_t max_length = 40);
/// Exact matches, so that argument-dependent lookup does not prefer the template std::quoted.
inline std::string quoted(const std::string& text, size_t max_length = 40) {
  return quoted(std::string_view(text), max_length);
}
inline std::string quoted(const char* text, size_t max_length = 40) {
  return quoted(std::string_view(text), max_length);
}
/// `text` with its control bytes as \\xNN, for the terminal; what is written in another alphabet stays.
std::string one_line(std::string_view text);
std::string join(const std::vector<std::string>& parts, std::string_view separator);

}  // namespace lotformer
