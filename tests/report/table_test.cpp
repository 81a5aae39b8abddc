// SPDX-License-Identifier: MIT
#include "report/table.h"

#include <cmath>

#include "run_folders.h"
#include "support/catch.h"
#include "support/run.h"

namespace lotformer::report {
namespace {

using lotformer::test::contains_text;
using lotformer::test::TemporaryFolder;
using test::MadeRun;

std::vector<Run> runs_of(const std::vector<MadeRun>& made) {
  const TemporaryFolder folder;
  std::vector<Run> runs;
  for (size_t i = 0; i < made.size(); ++i) {
    make_run(folder.path() / std::to_string(i), made[i]);
    runs.push_back(read_run(folder.path() / std::to_string(i)));
  }
  return runs;
}

MadeRun changed(const std::function<void(MadeRun&)>& change) {
  MadeRun made;
  change(made);
  return made;
}

TEST_CASE("report: seeds of one experiment are one cell with mean and sample deviation") {
  const auto runs = runs_of({changed([](MadeRun& m) { m.seed = 0, m.best = 0.4; }),
                             changed([](MadeRun& m) { m.seed = 1, m.best = 0.6; }),
                             changed([](MadeRun& m) { m.seed = 2, m.finished = false; })});
  const Table table = make_table(runs);
  REQUIRE(table.rows.size() == 1);  // log_every differs, and is bookkeeping
  const Cell& cell = table.rows[0].cells.at(0);
  CHECK(cell.best.n == 2);
  CHECK(std::fabs(cell.best.mean - 0.5) < 1e-12);
  CHECK(std::fabs(cell.best.deviation - std::sqrt(0.02)) < 1e-12);
  CHECK(cell.unfinished.size() == 1);
  CHECK(percent_text(cell.best) == "50.00 ± 14.14 (2)");
  CHECK(table.notes.empty());
  CHECK_THAT(to_markdown(table, runs, {}), contains_text("50.00 ± 14.14 (2) (+1 not finished)"));
}

TEST_CASE("report: the same seed twice is told") {
  const Table table = make_table(runs_of({MadeRun{}, MadeRun{}}));
  REQUIRE(table.notes.size() == 1);
  CHECK_THAT(table.notes[0], contains_text("seed 0 twice"));
}

TEST_CASE("report: modules that were trained for different times are told apart in a note") {
  const Table table = make_table(
      runs_of({MadeRun{}, changed([](MadeRun& m) { m.module = m.kind = "linear", m.steps = 3000; })}));
  REQUIRE(table.notes.size() == 1);
  CHECK(table.notes[0] == "listops: trained for different numbers of steps: softmax 20, linear 3,000");
}

TEST_CASE("report: other data, another protocol and other test files are other columns") {
  const Table table = make_table(runs_of({MadeRun{}, changed([](MadeRun& m) { m.origin = "synthetic"; }),
                                          changed([](MadeRun& m) { m.protocol = "lra"; }),
                                          changed([](MadeRun& m) { m.fingerprint = "f2"; })}));
  REQUIRE(table.columns.size() == 4);
  std::vector<std::string> titles;
  for (const Column& column : table.columns) titles.push_back(column.title);
  std::sort(titles.begin(), titles.end());
  CHECK(titles == std::vector<std::string>{"listops (synthetic)", "listops <f1>", "listops <f2>",
                                           "listops [protocol lra]"});
  CHECK(!table.has_average);
}

TEST_CASE(
    "report: a run that is not finished stands in the row and the column of its module, by its name of "
    "records") {
  const auto of = [](bool finished, int64_t seed) {
    return changed([&](MadeRun& m) {
      m.kind = "lotformer", m.module = "lotformer-weighted", m.origin = "synthetic", m.finished = finished,
      m.seed = seed;
    });
  };
  const Table table = make_table(runs_of({of(true, 0), of(false, 1)}));
  REQUIRE(table.columns.size() == 1);
  REQUIRE(table.rows.size() == 1);
  CHECK(table.rows[0].cells.at(0).unfinished.size() == 1);
}

TEST_CASE("report: other training data and other arithmetic are other experiments") {
  const Table table = make_table(runs_of({MadeRun{}, changed([](MadeRun& m) { m.train_fingerprint = "t2"; }),
                                          changed([](MadeRun& m) { m.precision = "bf16"; })}));
  REQUIRE(table.rows.size() == 3);
  for (const Row& row : table.rows) CHECK(row.cells.at(0).best.n == 1);
  CHECK(table.rows[0].label() == "softmax (train=t1, precision=bf16)");
}

TEST_CASE("report: experiments of one module are rows that name what differs") {
  const Table table = make_table(runs_of(
      {changed([](MadeRun& m) { m.dim = 32; }), MadeRun{}, changed([](MadeRun& m) { m.task = "text"; })}));
  REQUIRE(table.rows.size() == 3);
  CHECK(table.rows[0].label() == "softmax");  // text alone has no variants
  CHECK(table.rows[1].label() == "softmax (dim=32)");
  CHECK(table.rows[2].label() == "softmax (dim=64)");
}

TEST_CASE(
    "report: tasks and modules stand in the order of the benchmark, controls last; averages want every "
    "task") {
  const auto run = [](const std::string& task, const std::string& module, double best) {
    return changed([&](MadeRun& m) { m.task = task, m.module = m.kind = module, m.best = best; });
  };
  const auto runs =
      runs_of({run("text", "none", 0.2), run("listops", "none", 0.1), run("text", "softmax", 0.8),
               run("listops", "softmax", 0.4), run("listops", "lotformer", 0.6)});
  const Table table = make_table(runs);
  REQUIRE(table.columns.size() == 2);
  CHECK(table.columns[0].title == "listops");
  REQUIRE(table.rows.size() == 3);
  CHECK(table.rows[0].module == "softmax");
  CHECK(table.rows[1].module == "lotformer");
  CHECK(table.rows[2].control);
  CHECK(table.has_average);
  CHECK(std::fabs(table.rows[0].average.mean - 0.6) < 1e-12);
  CHECK(table.rows[1].average.n == 0);
  const std::string markdown = to_markdown(table, runs, {});
  CHECK_THAT(markdown, contains_text("|   60.00 |"));
  CHECK_THAT(markdown, contains_text("none (control)"));
}

TEST_CASE("report: variants of a module that share no task are one row with an average") {
  const auto run = [](const std::string& task, const std::string& module, double best) {
    return changed([&](MadeRun& m) {
      m.task = task, m.kind = module.substr(0, module.find('-')), m.module = module, m.best = best;
    });
  };
  std::vector<MadeRun> made = {run("listops", "lotformer-weighted", 0.4), run("text", "lotformer", 0.6),
                               run("listops", "softmax", 0.3), run("text", "softmax", 0.5)};
  const Table joined = make_table(runs_of(made));
  REQUIRE(joined.rows.size() == 2);
  CHECK(joined.rows[1].label() == "lotformer");
  CHECK(std::fabs(joined.rows[1].average.mean - 0.5) < 1e-12);
  CHECK(joined.notes ==
        std::vector<std::string>{"the row lotformer: listops by lotformer-weighted, text by lotformer"});
  // Two of them on one task are compared there, so each keeps its name.
  made.push_back(run("listops", "lotformer", 0.2));
  const Table apart = make_table(runs_of(made));
  REQUIRE(apart.rows.size() == 3);
  CHECK(apart.rows[1].label() == "lotformer");
  CHECK(apart.rows[2].label() == "lotformer-weighted");
  CHECK(apart.notes.empty());
  // The same task on other data is the same task.
  made.back().origin = "synthetic";
  CHECK(make_table(runs_of(made)).rows.size() == 3);
  // Without the plain module anywhere, variants are what they are called.
  const Table variants =
      make_table(runs_of({run("listops", "lotformer-weighted", 0.4), run("text", "lotformer-none", 0.6)}));
  REQUIRE(variants.rows.size() == 2);
  CHECK(variants.rows[0].label() == "lotformer-none");
}

TEST_CASE("report: LaTeX and CSV escape what a module or a folder is called") {
  auto runs = runs_of({changed([](MadeRun& m) { m.module = "my_module & co"; })});
  runs[0].folder = "runs/a,\"b\"";
  runs[0].notes = {"one\ntwo"};
  const Table table = make_table(runs);
  const std::string latex =
      to_latex(table, runs, {{"Paper", "Table 1", "theirs", "", {{"A_B", {{"listops", 37.5}}}}}});
  CHECK_THAT(latex, contains_text("my\\_module \\& co"));
  CHECK_THAT(latex, contains_text("\\toprule"));
  CHECK(latex.find("$^\\dagger$") == std::string::npos);
  runs[0].qualified = true;
  CHECK_THAT(to_latex(make_table(runs), runs, {}), contains_text("50.00 (1)$^\\dagger$"));
  CHECK_THAT(latex, contains_text("\\item runs/a,\"b\": one"));
  CHECK_THAT(latex, contains_text("A\\_B & 37.50"));
  CHECK_THAT(to_csv(runs, table), contains_text("\"runs/a,\"\"b\"\"\",finished,listops,"));
  const Json json = to_json(table, runs);
  CHECK(json.at("rows").at(0).at("cells").at(0).at("best").at("mean") == 0.5);
}

}  // namespace
}  // namespace lotformer::report
