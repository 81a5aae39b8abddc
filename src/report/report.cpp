// SPDX-License-Identifier: MIT
#include "lotformer/report/report.h"

#include <set>

#include "lotformer/core/file_system.h"
#include "lotformer/core/json.h"
#include "lotformer/core/program.h"
#include "lotformer/core/text.h"
#include "page.h"
#include "pictures.h"
#include "published.h"
#include "run.h"
#include "table.h"

namespace lotformer::report {
namespace {

constexpr int64_t kMostPublishedBytes = 1 << 20;
constexpr const char* kMark = "report.json";

std::vector<PublishedTable> published_of(const Request& request) {
  if (!request.with_published) return {};
  if (request.published.empty()) return built_in_published();
  return parse_published(read_file(request.published, ErrorKind::usage, kMostPublishedBytes),
                         request.published.string());
}

/// A folder that a user names is ours where it shows that it is: by report.json.
void check_out(const std::filesystem::path& out) {
  std::error_code ignored;
  if (!std::filesystem::exists(out, ignored)) return;
  if (!std::filesystem::is_directory(out, ignored))
    throw Error(ErrorKind::usage, "--out " + out.string() + " is no folder");
  if (std::filesystem::is_empty(out, ignored)) return;
  const auto mark = out / kMark;
  if (std::filesystem::exists(mark, ignored) &&
      json_or(read_json(mark, ErrorKind::usage), "format", std::string()) == "lotformer-report")
    return;
  throw Error(ErrorKind::usage,
              concat("--out ", out.string(),
                     " holds other files; name a new folder, or one that an earlier report made"));
}

/// A sweep of text runs needs no rows about pictures: published tables that share no task with the runs go.
std::vector<PublishedTable> relevant(std::vector<PublishedTable> published, const Table& table) {
  std::set<std::string> tasks;
  for (const Column& column : table.columns) tasks.insert(column.task);
  std::erase_if(published, [&](const PublishedTable& other) {
    for (const std::string& task : tasks_of(other)) {
      if (tasks.contains(task)) return false;
    }
    return true;
  });
  return published;
}

}  // namespace

bool is_run(const std::filesystem::path& folder) {
  return is_run_folder(folder);
}

Summary write_report(const Request& request) {
  check_out(request.out);
  Summary summary;
  std::vector<Run> runs;
  for (const auto& folder : find_runs(request.places, summary.notes)) runs.push_back(read_run(folder));
  if (runs.empty()) throw Error(ErrorKind::usage, join(summary.notes, "; ") + ": there is nothing to report");
  const Table table = make_table(runs);
  const auto published = relevant(published_of(request), table);
  lotformer::create_directories(request.out);
  write_atomic(request.out / kMark, to_pretty_text({{"format", "lotformer-report"},
                                                    {"version", 1},
                                                    {"build", build_id()},
                                                    {"table", to_json(table, runs)},
                                                    {"published", to_json(published)}}));
  summary.table = to_markdown(table, runs, published);
  write_atomic(request.out / "table.md", "# " + request.title + "\n" + summary.table);
  write_atomic(request.out / "table.tex", to_latex(table, runs, published));
  write_atomic(request.out / "table.csv", to_csv(runs, table));
  PageOptions options;
  options.title = request.title;
  options.refresh_seconds = request.refresh_seconds;
  write_atomic(request.out / "index.html", page_of(page_data(runs, table, published), options));
  if (request.with_pictures)
    summary.pictures = write_pictures(make_pictures(runs, table), request.out / "pictures", summary.notes);
  for (const Run& run : runs) summary.finished += run.state == State::finished ? 1 : 0;
  summary.runs = static_cast<int>(runs.size());
  return summary;
}

}  // namespace lotformer::report
