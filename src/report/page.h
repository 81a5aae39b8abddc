// SPDX-License-Identifier: MIT
// The report as one HTML file that opens offline: style, scripts, Plotly and the data as JSON, all inline.
#pragma once

#include <string>
#include <vector>

#include "published.h"
#include "run.h"
#include "table.h"

namespace lotformer::report {

struct PageOptions {
  std::string title = "LRA report";
  /// Above 0: the browser loads the page again after so many seconds (while a run is watched).
  int refresh_seconds = 0;
};

/// Everything that the page shows. Curves of more than 2,000 points are thinned.
Json page_data(const std::vector<Run>& runs, const Table& table,
               const std::vector<PublishedTable>& published);

std::string page_of(const Json& data, const PageOptions& options);

}  // namespace lotformer::report
