// SPDX-License-Identifier: MIT
#include "apps/doctor/report.h"

#include <algorithm>

#include "lotformer/core/program.h"
#include "lotformer/core/text.h"

namespace lotformer::doctor {
namespace {

std::string name_of(Verdict verdict) {
  return verdict == Verdict::ok ? "ok" : verdict == Verdict::warning ? "warning" : "problem";
}

std::string padded(std::string text, size_t width) {
  text.resize(std::max(text.size() + 1, width), ' ');
  return text;
}

}  // namespace

void Report::ok(const std::string& topic, const std::string& text) {
  findings_.push_back({Verdict::ok, topic, one_line(text)});
}

void Report::warning(const std::string& topic, const std::string& text, const std::string& remedy) {
  findings_.push_back({Verdict::warning, topic, one_line(text), one_line(remedy)});
}

void Report::problem(const std::string& topic, const std::string& text, const std::string& remedy) {
  findings_.push_back({Verdict::problem, topic, one_line(text), one_line(remedy)});
}

int64_t Report::count(Verdict verdict) const {
  return std::count_if(findings_.begin(), findings_.end(),
                       [verdict](const Finding& finding) { return finding.verdict == verdict; });
}

std::string Report::text() const {
  std::string text;
  for (const Finding& f : findings_) {
    text += concat(padded(name_of(f.verdict), 9), padded(f.topic, 12), f.text,
                   f.remedy.empty() ? "" : "  ->  " + f.remedy, "\n");
  }
  const auto counted = [this](Verdict verdict) {
    const int64_t number = count(verdict);
    return concat(number, " ", name_of(verdict), number == 1 ? "" : "s");
  };
  return concat(text, count(Verdict::ok), " ok, ", counted(Verdict::warning), ", ", counted(Verdict::problem),
                "\n");
}

Json Report::json() const {
  Json list = Json::array();
  for (const Finding& f : findings_)
    list.push_back(
        {{"verdict", name_of(f.verdict)}, {"topic", f.topic}, {"text", f.text}, {"remedy", f.remedy}});
  return {{"build_id", build_id()},
          {"ok", count(Verdict::ok)},
          {"warnings", count(Verdict::warning)},
          {"problems", count(Verdict::problem)},
          {"findings", list}};
}

}  // namespace lotformer::doctor
