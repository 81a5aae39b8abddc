// SPDX-License-Identifier: MIT
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <iostream>
#include <thread>

#include "command_line.h"
#include "lotformer/core/error.h"
#include "lotformer/core/program.h"
#include "lotformer/core/stop_signals.h"
#include "lotformer/core/text.h"
#include "lotformer/report/report.h"

namespace {

using namespace lotformer;

void say(const report::Request& request, const report::Summary& summary) {
  std::cout << summary.table << "\n";
  for (const std::string& note : summary.notes) std::cout << "note: " << one_line(note) << "\n";
  std::cout << summary.runs << " runs (" << summary.finished << " finished), " << summary.pictures
            << " pictures. Page: " << (request.out / "index.html").string() << std::endl;
}

/// Every place is a run, and each of them is finished: nothing will change. A folder of runs may get another.
bool is_over(const report::Request& request, const report::Summary& summary) {
  return summary.finished == summary.runs && summary.runs == static_cast<int>(request.places.size()) &&
         std::all_of(request.places.begin(), request.places.end(), report::is_run);
}

/// Writes the report again and again until nothing more will come, or a signal does. What cannot be read now
/// may be readable at the next round.
void watch(const report::Request& request, int seconds) {
  const StopSignals stop(StopSignals::Ignored::take);
  report::Request now = request;
  now.with_pictures = false;  // they are for papers; the last report draws them
  while (StopSignals::received() == 0) {
    try {
      const report::Summary summary = report::write_report(now);
      std::cout << summary.finished << " of " << summary.runs
                << " runs finished; page: " << (request.out / "index.html").string() << std::endl;
      if (is_over(request, summary)) break;
    } catch (const report::NothingYet& nothing) {
      std::cout << one_line(nothing.what()) << "; looking again" << std::endl;
    }
    for (int i = 0; i < 10 * seconds && StopSignals::received() == 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  now = request;
  now.refresh_seconds = 0;
  say(now, report::write_report(now));
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("lotformer-report", [&]() -> int {
    CLI::App app(
        "Makes the LRA table and one page of pictures of runs. Accuracy by length, the confusion matrix and "
        "plans want `lotformer-eval RUN --for-report` before.",
        "lotformer-report");
    report::Request request;
    std::vector<std::string> places;
    std::string out, published;
    int watched = 0;
    app.add_option("RUNS", places, "run folders, and folders that hold some (sweeps)")->type_name("DIR");
    app.add_option("--out", out,
                   "folder of the report: index.html, table.md, .tex, .csv, report.json, pictures/")
        ->type_name("DIR");
    app.add_option("--title", request.title, "of the page")->capture_default_str();
    app.add_option("--published", published, "accuracies of papers (form: docs/published.yaml), or none")
        ->type_name("FILE");
    app.add_flag("!--no-pictures", request.with_pictures, "no SVG and PNG files");
    auto* watch_option = app.add_option("--watch", watched,
                                        "write it again every so many seconds until the runs are finished, a "
                                        "folder of runs until Ctrl-C")
                             ->type_name("SECONDS")
                             ->expected(0, 1)
                             ->default_str("30")
                             ->check(CLI::Range(1, 86400));
    add_examples(app, {{"lotformer-report runs/my-run --out report", "one run: curves, errors, plans"},
                       {"lotformer-report sweeps/lra --out sweeps/lra/report", "a sweep: modules x tasks"},
                       {"lotformer-report runs/my-run --out report --watch", "again while it trains"}});
    if (const auto code = parse_command_line(app, argc, argv)) return *code;
    if (places.empty()) require_option("", "RUNS", "lotformer-report runs/my-run --out report");
    require_option(out, "--out", "report");
    request.places.assign(places.begin(), places.end());
    request.out = out;
    request.with_published = published != "none";
    if (request.with_published) request.published = published;
    if (watch_option->count() > 0) {
      request.refresh_seconds = watched == 0 ? 30 : watched;
      watch(request, request.refresh_seconds);
    } else {
      say(request, report::write_report(request));
    }
    return 0;
  });
}
