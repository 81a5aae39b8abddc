// SPDX-License-Identifier: MIT
#include <algorithm>
#include <limits>

#include "lotformer/core/text.h"
#include "lotformer/train/evaluation.h"
#include "train/inspect/solver_tally.h"

namespace lotformer {
namespace {

std::string percent(const Json& value) {
  return format_fixed(100 * value.get<double>(), 2) + " %";
}

std::string padded(const std::string& text, size_t width) {
  return text.size() < width ? std::string(width - text.size(), ' ') + text : text;
}

std::string class_lines(const Json& classes) {
  std::string text = "  class      examples  predicted     recall\n";
  for (const Json& c : classes) {
    const auto name = c.at("class").get<std::string>();
    text += concat("  ", name, padded(format_count(c.at("examples")), 19 - std::min<size_t>(name.size(), 18)),
                   padded(format_count(c.at("predicted")), 11), padded(percent(c.at("recall")), 11), "\n");
  }
  return text;
}

std::string bin_lines(const std::string& name, const Json& bins) {
  std::string text = concat("  accuracy by ", name, ":\n");
  for (const Json& bin : bins) {
    const auto range = [&]() -> std::string {
      if (bin.at("from").is_null()) return "elsewhere";
      const auto from = bin.at("from").get<int64_t>(), below = bin.at("below").get<int64_t>();
      if (below == std::numeric_limits<int64_t>::max()) return concat(from, " or more");
      return below == from + 1 ? std::to_string(from) : concat(from, "..", below - 1);
    };
    text += concat("  ", padded(range(), 12), padded(format_count(bin.at("examples")), 11),
                   padded(percent(bin.at("accuracy")), 11), "\n");
  }
  return text;
}

/// Says whether the run's own number came out again, to the bit.
std::string comparison(const Json& e) {
  if (e.at("logged").is_null()) return {};
  const Json& logged = e.at("logged");
  const bool same_examples = logged.at("examples") == e.at("examples");
  if (!same_examples)
    return concat("  the run logged ", percent(logged.at("accuracy")), " on ",
                  format_count(logged.at("examples")), " examples\n");
  const bool equal = logged.at("loss") == e.at("loss") && logged.at("accuracy") == e.at("accuracy");
  // Digits that nobody reads, unless they are where the two differ.
  if (equal)
    return concat("  the run logged accuracy ", percent(logged.at("accuracy")), ", loss ",
                  format_fixed(logged.at("loss"), 4), ": reproduced bit for bit\n");
  return concat("  the run logged accuracy ", percent(logged.at("accuracy")), ", loss ",
                format_double(logged.at("loss")), ", this is ", format_double(e.at("loss")),
                ": NOT equal (another device or thread count changes the last bits)\n");
}

}  // namespace

std::string describe_evaluation(const Json& e) {
  const Json& run = e.at("run");
  const bool partial = e.at("examples") != e.at("available");
  std::string text = concat(run.at("task").get<std::string>(), " ", run.at("attention").get<std::string>(),
                            ", protocol ", run.at("protocol").get<std::string>(),
                            ", data_origin: ", run.at("data_origin").get<std::string>(), ", ",
                            e.at("checkpoint").get<std::string>(), "\n");
  text += concat("  ", e.at("split").get<std::string>(), ": accuracy ", percent(e.at("accuracy")),
                 " (95 % interval ", percent(e.at("accuracy_interval_95").at(0)), " .. ",
                 percent(e.at("accuracy_interval_95").at(1)), "), loss ", format_fixed(e.at("loss"), 4), ", ",
                 format_count(e.at("examples")), partial ? " of " + format_count(e.at("available")) : "",
                 " examples\n");
  if (e.contains("transport")) {
    const TransportCount count = transport_count_from_json(e.at("transport"), "evaluation");
    if (count.unconverged > 0) text += "  " + describe(count) + "\n";
  }
  for (const Json& r : e.at("references")) {
    text += concat("  reference, ", r.at("name").get<std::string>(), ": ",
                   format_fixed(100 * r.at("accuracy").get<double>(), 1), " % (",
                   r.at("source").get<std::string>(), ")\n");
  }
  text += comparison(e) + class_lines(e.at("classes"));
  for (const auto& [name, bins] : e.at("by").items()) text += bin_lines(name, bins);
  return text;
}

}  // namespace lotformer
