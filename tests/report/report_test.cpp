// SPDX-License-Identifier: MIT
// The program, and the page it writes.
#include "lotformer/report/report.h"

#include "run_folders.h"
#include "support/catch.h"
#include "support/run.h"

namespace lotformer::report {
namespace {

namespace fs = std::filesystem;
using lotformer::test::contains_text;
using lotformer::test::Finished;
using lotformer::test::slurp;
using lotformer::test::TemporaryFolder;

Finished report(const std::vector<std::string>& arguments) {
  return lotformer::test::run({.program = "lotformer-report", .arguments = arguments});
}

/// The JSON in the page.
Json data_of(const std::string& page) {
  const std::string open = "id=\"data\">";
  const size_t begin = page.find(open) + open.size();
  return Json::parse(page.substr(begin, page.find("</script>", begin) - begin));
}

TEST_CASE("lotformer-report: table, page and files of a folder of runs") {
  const TemporaryFolder folder;
  for (const int64_t seed : {0, 1}) {
    test::MadeRun made;
    made.seed = seed;
    test::make_run(folder.path() / "sweep" / std::to_string(seed), made);
  }
  const fs::path out = folder.path() / "out";
  const Finished done = report({(folder.path() / "sweep").string(), "--out", out.string(), "--no-pictures"});
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  CHECK_THAT(done.out, contains_text("50.00 ± 0.00 (2)"));
  CHECK_THAT(done.out, contains_text("2 runs (2 finished)"));
  for (const char* name : {"table.md", "table.tex", "table.csv", "report.json", "index.html"}) {
    INFO(name);
    CHECK(fs::file_size(out / name) > 100);
  }
  CHECK(!fs::exists(out / "pictures"));
  const Json data = data_of(slurp(out / "index.html"));
  CHECK(data.at("runs").size() == 2);
  CHECK(data.at("runs").at(0).at("training").at("loss") == Json({1.9, 1.8}));
  CHECK(data.at("published").at(0).at("rows").size() > 5);
  CHECK(report({(folder.path() / "sweep").string(), "--out", out.string(), "--no-pictures"}).exit_code == 0);
}

TEST_CASE("lotformer-report: no text of a run becomes markup of the page") {
  const TemporaryFolder folder;
  test::MadeRun made;
  made.module = "</script><script>alert(1)</script>";
  test::make_run(folder.path() / "run", made);
  Request request;
  request.places = {folder.path() / "run"};
  request.out = folder.path() / "out";
  request.title = "<b>";
  request.with_pictures = false;
  write_report(request);
  const std::string page = slurp(request.out / "index.html");
  CHECK(page.find("<script>alert") == std::string::npos);
  CHECK(page.find("<title>&lt;b&gt;</title>") != std::string::npos);
  CHECK(data_of(page).at("runs").at(0).at("module") == made.module);
  CHECK(page.find("default-src 'none'") != std::string::npos);
  CHECK(page.find("\"sendChartToCloud\"],") != std::string::npos);  // among the buttons that are taken away
  for (const char* outside : {"src=\"http", "href=\"http", "url(http", "@import"})
    CHECK(page.substr(0, page.find("<script>")).find(outside) == std::string::npos);
}

TEST_CASE("lotformer-report: wrong command lines, and folders that are not its own") {
  const TemporaryFolder folder;
  test::make_run(folder.path() / "run", {});
  const std::string run = (folder.path() / "run").string();
  const auto refused = [&](const std::vector<std::string>& arguments, const std::string& part) {
    const Finished done = report(arguments);
    INFO(done.err);
    CHECK(done.exit_code == 2);
    CHECK_THAT(done.err, contains_text(part));
  };
  refused({"--out", "x"}, "RUNS");
  refused({run}, "--out");
  refused({run + "/absent", "--out", run + "-report"}, "is no folder");
  refused({run, "--out", run}, "holds other files");
  CHECK(!fs::exists(folder.path() / "run/index.html"));
  test::write_text(folder.path() / "empty/readme", "x");
  refused({(folder.path() / "empty").string(), "--out", run + "-report"}, "holds no run");
  CHECK(!fs::exists(run + "-report"));
  test::write_text(folder.path() / "p.yaml", "a: 1\n");
  refused({run, "--out", run + "-report", "--published", (folder.path() / "p.yaml").string()}, "p.yaml:1");
}

TEST_CASE("lotformer-report --watch: until the last run is finished, with a page that loads itself again") {
  const TemporaryFolder folder;
  test::MadeRun made;
  made.finished = false;
  test::make_run(folder.path() / "run", made);
  const fs::path page = folder.path() / "out/index.html";
  lotformer::test::Process process(
      {.program = "lotformer-report",
       .arguments = {(folder.path() / "run").string(), "--out", page.parent_path().string(), "--watch", "1",
                     "--no-pictures"}});
  for (int i = 0; i < 600 && slurp(page).empty(); ++i) ::usleep(50000);
  CHECK(slurp(page).find("http-equiv=\"refresh\" content=\"1\"") != std::string::npos);
  CHECK(process.running());
  made.finished = true;
  test::make_run(folder.path() / "run", made);
  const Finished done = process.wait();
  CHECK(done.exit_code == 0);
  CHECK_THAT(done.out, contains_text("1 runs (1 finished)"));
  CHECK(slurp(page).find("http-equiv=\"refresh\"") == std::string::npos);
}

}  // namespace
}  // namespace lotformer::report
