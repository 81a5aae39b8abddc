// SPDX-License-Identifier: MIT
// Results that people can look at: the LRA table, one page of pictures, and files of both, from run folders.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "lotformer/core/error.h"

namespace lotformer::report {

struct Request {
  /// Run folders, and folders that hold some (sweeps).
  std::vector<std::filesystem::path> places;
  /// Absent, empty, or of an earlier report. Receives index.html, table.{md,tex,csv}, report.json, pictures/.
  std::filesystem::path out;
  std::string title = "LRA report";
  /// A file as docs/published.yaml; empty: the tables of that file.
  std::filesystem::path published;
  bool with_published = true;
  /// Write scripts, SVG and PNG of every picture.
  bool with_pictures = true;
  /// Above 0: the page asks the browser to load it again after so many seconds.
  int refresh_seconds = 0;
};

struct Summary {
  int runs = 0, finished = 0, pictures = 0;
  /// The table as Markdown.
  std::string table;
  std::vector<std::string> notes;
};

/// No place holds a run, or one is not there (yet).
class NothingYet : public Error {
 public:
  explicit NothingYet(const std::string& message) : Error(ErrorKind::usage, message) {}
};

/// Whether a folder is one of lotformer-train, by what lies in it.
bool is_run(const std::filesystem::path& folder);

/// Reads, and writes the report. Error(usage) for a place that does not exist or where no place holds a run;
/// a run that is broken, cut or of another kind is shown as far as it can be read, with a note.
Summary write_report(const Request& request);

}  // namespace lotformer::report
