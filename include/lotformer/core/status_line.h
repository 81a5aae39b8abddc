// SPDX-License-Identifier: MIT
// The line on stderr that a person watches: redrawn on a terminal, one plain line every few seconds
// elsewhere.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace lotformer {

/// Fields with two blanks between them, as many whole ones from the front as fit into `width` characters; the
/// first stands in any case.
std::string fit_fields(const std::vector<std::string>& fields, size_t width);
/// "[#####-----]", 12 characters for a width of 10; `share` in [0, 1].
std::string progress_bar(double share, size_t width);

class StatusLine {
 public:
  /// What becomes of the line on a terminal when the object ends or finish() is called.
  enum class Ending { keep, erase };
  explicit StatusLine(Ending ending = Ending::keep);
  ~StatusLine();
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  /// True when a show() now would be shown: the last one is old enough. Cheap; for callers to whom making the
  /// text is work.
  bool due() const;
  /// Shows `text` when it is due. `force`: always.
  void show(const std::string& text, bool force = false);
  /// The most important field first: on a terminal those at the end are left out where they do not fit, and a
  /// bar of `share` stands behind the second where there is room for it beside all fields.
  void show(std::vector<std::string> fields, double share, bool force = false);
  /// Ends a line that is being redrawn, so that log lines start on their own.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  Ending ending_;
  bool terminal_;
  bool open_ = false;
  Clock::time_point next_{};
};

}  // namespace lotformer
