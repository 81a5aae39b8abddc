// SPDX-License-Identifier: MIT
#include "lotformer/core/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numeric>

namespace lotformer {

std::string format_double(double value) {
  std::array<char, 40> buffer;
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), result.ptr};
}

std::string format_fixed(double value, int decimals) {
  std::array<char, 400> buffer;
  const auto result =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed, decimals);
  return result.ec == std::errc{} ? std::string(buffer.data(), result.ptr) : format_double(value);
}

std::string format_bytes(int64_t bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (std::abs(value) >= 1024.0 && unit + 1 < kUnits.size()) {
    value /= 1024.0;
    ++unit;
  }
  return format_fixed(value, unit == 0 || value >= 100 ? 0 : 1) + " " + kUnits[unit];
}

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  if (seconds < 9.95) return format_fixed(seconds, 1) + "s";
  const auto total = static_cast<int64_t>(std::llround(seconds));
  const auto pair = [](int64_t high, const char* unit, int64_t low, const char* low_unit) {
    return concat(high, unit, " ", low < 10 ? "0" : "", low, low_unit);
  };
  if (total < 60) return concat(total, "s");
  if (total < 3600) return pair(total / 60, "m", total % 60, "s");
  return pair(total / 3600, "h", total % 3600 / 60, "m");
}

std::string format_count(int64_t value) {
  std::string text = std::to_string(value);
  const int64_t start = text[0] == '-' ? 1 : 0;
  for (int64_t i = static_cast<int64_t>(text.size()) - 3; i > start; i -= 3)
    text.insert(static_cast<size_t>(i), 1, ',');
  return text;
}

namespace {

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row.back();
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates) {
  constexpr size_t kMaxWord = 64;  // longer ones are not misspelt, and the edit distance is quadratic
  const std::string best = word.size() > kMaxWord ? std::string() : nearest(word, candidates);
  return best.empty() ? std::string() : concat("; did you mean ", quoted(best, best.size()), "?");
}

std::string quoted(std::string_view text, size_t max_length) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out = "'";
  for (const char c : text.substr(0, max_length)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      out += c;
    } else {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out + (text.size() > max_length ? "...'" : "'");
}

std::string one_line(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) {
      out += c;
      continue;
    }
    const std::string code = quoted(std::string_view(&c, 1));
    out.append(code, 1, code.size() - 2);
  }
  return out;
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string out;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out += separator;
    out += parts[i];
  }
  return out;
}

}  // namespace lotformer
