// SPDX-License-Identifier: MIT
// What lotformer-doctor has found: a verdict a line.
#pragma once

#include <string>
#include <vector>

#include "lotformer/core/json.h"

namespace lotformer::doctor {

enum class Verdict {
  ok,
  /// Works, and something about it should be known.
  warning,
  /// Does not work.
  problem,
};

struct Finding {
  Verdict verdict = Verdict::ok;
  /// "build", "processors", "attention"
  std::string topic;
  /// One line.
  std::string text;
  /// What to do; empty with ok.
  std::string remedy = {};
};

class Report {
 public:
  void ok(const std::string& topic, const std::string& text);
  void warning(const std::string& topic, const std::string& text, const std::string& remedy);
  void problem(const std::string& topic, const std::string& text, const std::string& remedy);

  /// A line a finding, then one that counts them.
  std::string text() const;
  /// {"build_id", "ok", "warnings", "problems", "findings": [{"verdict", "topic", "text", "remedy"}]}
  Json json() const;
  /// 1 where there is a problem, else 0.
  int exit_code() const { return count(Verdict::problem) > 0 ? 1 : 0; }

 private:
  int64_t count(Verdict verdict) const;
  std::vector<Finding> findings_;
};

}  // namespace lotformer::doctor
