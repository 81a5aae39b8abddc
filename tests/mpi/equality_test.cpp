// SPDX-License-Identifier: MIT
// Several processes make the run that one makes.
#include <cmath>

#include "mpi/support.h"

using namespace lotformer;
using namespace lotformer::test;
namespace fs = std::filesystem;

namespace {

/// Loss and accuracy of every step, and every score; `tolerance` is relative.
void require_same_run(const fs::path& one, const fs::path& several, double tolerance) {
  for (const char* split : {"train", "val", "test"}) {
    const auto expected = numbers_of(one, split, "loss"), found = numbers_of(several, split, "loss");
    REQUIRE(found.size() == expected.size());
    REQUIRE(!found.empty());
    double worst = 0;
    for (size_t i = 0; i < found.size(); ++i)
      worst = std::max(worst, std::abs(found[i] - expected[i]) / expected[i]);
    INFO(split << ", largest relative difference of losses " << worst);
    CHECK(worst <= tolerance);
    CHECK(numbers_of(several, split, "accuracy") == numbers_of(one, split, "accuracy"));
  }
}

Settings with(Settings settings, const Settings& more) {
  settings.insert(settings.end(), more.begin(), more.end());
  return settings;
}

const Settings kFiftySteps = {"train.steps=50", "train.batch_size=16", "train.checkpoint_every=25"};

}  // namespace

TEST_CASE("2 and 4 processes lose what one loses, with every module", "[mpi]") {
  const TemporaryFolder folder;
  for (const std::string module : {"softmax", "performer", "sinkformer", "espformer", "lotformer"}) {
    const Settings settings = with(kFiftySteps, {"model.attention.kind=" + module});
    INFO(module);
    must_run(one_process(folder.path() / module, settings));
    for (const int count : {2, 4}) {
      const fs::path path = folder.path() / (module + std::to_string(count));
      INFO(count << " processes");
      const Finished done = must_run(processes(count, path, settings));
      // A plan of ESPFormer jumps where two projected tokens change places, which rounding decides.
      require_same_run(folder.path() / module, path, module == "espformer" ? 2e-5 : 1e-6);
      const Json results = Json::parse(slurp(path / "results.json"));
      CHECK(results.at("processes") == count);
      CHECK(results.at("test").at("examples") == 50);
    }
  }
}

TEST_CASE("batches that cannot be divided, and chunks of them, are still the batch of one", "[mpi]") {
  const TemporaryFolder folder;
  // 15 = 3 + 4 + 4 + 4, and the last batch of an evaluation is smaller.
  const Settings settings = {"train.steps=20", "train.batch_size=15", "eval.batch_size=7"};
  must_run(one_process(folder.path() / "one", settings));
  must_run(processes(4, folder.path() / "four", settings));
  require_same_run(folder.path() / "one", folder.path() / "four", 1e-6);
  must_run(processes(2, folder.path() / "chunks", with(settings, {"train.accumulate=6"})));
  require_same_run(folder.path() / "one", folder.path() / "chunks", 1e-6);
}

TEST_CASE("what is dropped differs from process to process, what is learned does not", "[mpi]") {
  const TemporaryFolder folder;
  // Weights are compared whenever they are saved.
  const Settings settings = {"train.steps=20", "model.dropout=0.3", "model.attention.kind=performer",
                             "model.attention.redraw_every=3"};
  must_run(processes(2, folder.path() / "two", settings));
  must_run(processes(2, folder.path() / "again", settings));
  CHECK(run_bytes(folder.path() / "two") == run_bytes(folder.path() / "again"));
}

TEST_CASE("a run goes on with any number of processes", "[mpi]") {
  const TemporaryFolder folder;
  // At a rate that does not depend on the length: the run is made longer twice, since one that has ended does
  // not go on otherwise.
  const auto steps = [](int count) {
    return Settings{"train.steps=" + std::to_string(count), "train.lr_floor=1", "train.warmup_steps=0"};
  };
  const Settings whole = steps(30);
  must_run(one_process(folder.path() / "one", whole));
  const fs::path path = folder.path() / "several";
  must_run(processes(4, path, steps(10)));
  must_run(processes(2, path, steps(20), {"--extend"}));
  Command last = one_process(path, whole);
  last.arguments.emplace_back("--extend");
  const Finished done = must_run(last);
  CHECK_THAT(done.err, contains_text("was made with processes 2, now 1"));
  const auto losses = numbers_of(path, "train", "loss"),
             expected = numbers_of(folder.path() / "one", "train", "loss");
  REQUIRE(losses.size() == expected.size());
  for (size_t i = 0; i < losses.size(); ++i) CHECK(std::abs(losses[i] - expected[i]) <= 1e-5 * expected[i]);
}

TEST_CASE("--devices N starts the processes itself", "[mpi]") {
  const TemporaryFolder folder;
  const Settings settings = {"train.steps=10"};
  Command command = one_process(folder.path() / "run", settings);
  command.arguments.insert(command.arguments.end(), {"--devices", "2", "--json"});
  command.environment = launcher({}).environment;
  const Finished done = must_run(command);
  CHECK(is_one_line(done.out));
  CHECK(Json::parse(done.out).at("processes") == 2);
}

TEST_CASE("ranks that adapt and rollbacks are those of one process", "[mpi]") {
  const TemporaryFolder folder;
  const auto lines_of = [](const fs::path& run_folder, const std::string& split) {
    std::string text;
    for (const Json& line : read_lines(run_folder / "metrics.jsonl")) {
      if (line.at("split") == split) text += to_line(line) + "\n";
    }
    return text;
  };
  const Settings adaptive = {"model.attention.adaptive_rank.every=7", "model.attention.adaptive_rank.min=2",
                             "model.attention.adaptive_rank.max=8",
                             "model.attention.adaptive_rank.budget=0.004", "train.steps=21"};
  must_run(one_process(folder.path() / "adaptive1", adaptive));
  must_run(processes(2, folder.path() / "adaptive2", adaptive));
  require_same_run(folder.path() / "adaptive1", folder.path() / "adaptive2", 1e-6);
  const auto pivots = [&](const char* name) {
    std::vector<int64_t> counts;
    for (const Json& line : read_lines(folder.path() / name / "metrics.jsonl")) {
      if (line.at("split") == "rank")
        counts.push_back(line.at("layers").at("layer0").at("pivots").get<int64_t>());
    }
    return counts;
  };
  CHECK(pivots("adaptive2") == pivots("adaptive1"));
  CHECK(pivots("adaptive1").back() < 4);

  // Numbers that are not finite after two steps, whatever is left out.
  const Settings wild = {"train.lr=1000", "train.weight_decay=1", "train.clip=0", "train.warmup_steps=0",
                         "train.on_nonfinite=rollback"};
  const Finished one = must_run(one_process(folder.path() / "wild1", wild), 6);
  const Finished two = must_run(processes(2, folder.path() / "wild2", wild), 6);
  CHECK(lines_of(folder.path() / "wild2", "rollback") == lines_of(folder.path() / "wild1", "rollback"));
  CHECK(!lines_of(folder.path() / "wild1", "rollback").empty());
  const std::string words = "after 3 rollbacks";
  CHECK(one.err.find(words) != std::string::npos);
  CHECK(two.err.find(words) == two.err.rfind(words));
  CHECK(two.err.find(words) != std::string::npos);
}
