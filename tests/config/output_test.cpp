// SPDX-License-Identifier: MIT
// --print-config, JSON, hash, documentation, and the files that the project ships.
#include <algorithm>
#include <sstream>

#include "config_support.h"

using namespace lotformer;
using namespace lotformer::test;
namespace fs = std::filesystem;

namespace {

/// The line of `key` in a printed configuration, without blanks around.
std::string line_of(const std::string& text, const std::string& key) {
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    const size_t first = line.find_first_not_of(' ');
    if (first != std::string::npos && line.compare(first, key.size() + 1, key + ":") == 0)
      return line.substr(first);
  }
  return "";
}

}  // namespace

TEST_CASE("config print: resolved values with their origins") {
  Workspace workspace;
  workspace.write("ground.yaml", "train:\n  log_every: 60\n  steps: 6000\n");
  workspace.write("x.yaml", "base: ground.yaml\nprotocol: lotformer\ntrain:\n  seed: 3\n");
  const std::string text = print_config({"x.yaml", {"train.lr=1e-3"}}, fake_kinds());
  INFO(text);
  CHECK(line_of(text, "task") == "task: listops                           # default");
  CHECK_THAT(line_of(text, "log_every"),
             test::contains_text("log_every: 60 ") && test::contains_text("# ground.yaml:2"));
  // The protocol is named above the base file, so what it sets wins over that.
  CHECK_THAT(line_of(text, "steps"),
             test::contains_text("steps: 50000 ") && test::contains_text("# protocol lotformer"));
  CHECK_THAT(line_of(text, "seed"), test::contains_text("seed: 3 ") && test::contains_text("# x.yaml:4"));
  CHECK_THAT(line_of(text, "lr"), test::contains_text("lr: 0.001 ") && test::contains_text("# --set"));
  CHECK_THAT(line_of(text, "pad_to"),
             test::contains_text("pad_to: 2048 ") && test::contains_text("# protocol lotformer"));
  CHECK_THAT(line_of(text, "head_dim"),
             test::contains_text("head_dim: 32 ") && test::contains_text("# protocol lotformer"));
  CHECK_THAT(line_of(text, "ff_dim"),
             test::contains_text("ff_dim: 128 ") && test::contains_text("# default"));
  CHECK_THAT(line_of(text, "kind"), test::contains_text("kind: lotformer "));
}

TEST_CASE("config print: the output is a configuration that loads to the same values") {
  Workspace workspace;
  const std::vector<std::vector<std::string>> settings = {
      {},
      {"protocol=lotformer"},
      {"protocol=lotformer", "data.pad_to=4096"},
      {"model.attention.kind=softmax", "train.lr=0.1234567890123456789", "train.adam_epsilon=4.9e-324"},
      {"data.root=it's \"quoted\" \\ # : {x} \xc3\xbc"},
      {"data.root='null'"},
      {"data.root=\"~\""},
      {"data.root=- x"},
      {"data.root=true"},
      {"data.root=../data", "train.weight_decay=-0.0", "model.heads=3", "model.head_dim=5"},
  };
  for (const auto& assignments : settings) {
    const Config config = load_config({"", assignments}, fake_kinds());
    const std::string text = print_config({"", assignments}, fake_kinds());
    INFO(text);
    workspace.write("y.yaml", text);
    const Config again = load_config({"y.yaml", {}}, fake_kinds());
    CHECK(config_to_json(again) == config_to_json(config));
    CHECK(config_hash(again) == config_hash(config));
    CHECK(again.protocol_label == config.protocol_label);
    CHECK(again.data.root == config.data.root);

    const Config from_json =
        config_from_json(Json::parse(config_to_json(config).dump()), fake_kinds(), "state.json");
    CHECK(config_to_json(from_json) == config_to_json(config));
    CHECK(from_json.protocol_label == config.protocol_label);
  }
}

TEST_CASE("config json: every key, --set on top, errors name the place") {
  const Config config = load_config({"", {"model.attention.pivots=4"}}, fake_kinds());
  const Json json = config_to_json(config);
  CHECK(json["model"]["attention"]["kind"] == "lotformer");
  CHECK(json["model"]["attention"]["pivots"] == 4);
  CHECK(json["train"]["lr"] == 1e-4);
  CHECK(json["data"]["generate_missing"] == false);

  const Config moved = config_from_json(json, {"data.root=/elsewhere"}, fake_kinds(), "state.json");
  CHECK(moved.data.root == "/elsewhere");
  CHECK(lotformer_options(moved).pivots == 4);
  CHECK(config_hash(moved) == config_hash(config));  // where the data lie is bookkeeping
  CHECK(config_from_json(json, {"model.attention.kind=softmax"}, fake_kinds(), "state.json").attention_kind ==
        "softmax");

  const auto broken = [&json](const std::string& section, const std::string& key, const Json& value) {
    Json copy = json;
    copy[section][key] = value;
    return error_of([&] { config_from_json(copy, fake_kinds(), "last/state.json"); }, ErrorKind::checkpoint);
  };
  CHECK(broken("train", "steps", "many").find("last/state.json: train.steps: must be a whole number") == 0);
  CHECK_THAT(broken("train", "steps", 1.5), test::contains_text("got '1.5'"));
  CHECK_THAT(broken("train", "steps", uint64_t{1} << 63), test::contains_text("does not fit into 64 bits"));
  CHECK_THAT(broken("train", "lr", nullptr), test::contains_text("got no value"));
  CHECK_THAT(broken("train", "lr", Json::array({1})), test::contains_text("got a list"));
  CHECK_THAT(broken("train", "extra", 1),
             test::contains_text("last/state.json: train.extra: unknown key of section train"));
  CHECK_THAT(broken("model", "attention", Json::object({{"kind", "linear"}})),
             test::contains_text("model.attention.kind: must be one of"));
  CHECK_THAT(error_of([] { config_from_json(Json::array(), fake_kinds(), "s"); }, ErrorKind::checkpoint),
             test::contains_text("s: the configuration must be a JSON object"));
  CHECK_THAT(error_of(
                 [] {
                   config_from_json({{"base", "x"}}, fake_kinds(), "s");
                 },
                 ErrorKind::checkpoint),
             test::contains_text("s: base: belongs"));
  // A wrong --set is the user's mistake, not the checkpoint's.
  CHECK_THAT(error_of([&] { config_from_json(json, {"train.lr=-1"}, fake_kinds(), "s"); }, ErrorKind::usage),
             test::contains_text("--set train.lr=-1: train.lr: must be > 0"));
  Json deep = 1;
  for (int i = 0; i < 200; ++i) deep = Json::object({{"a", deep}});
  CHECK_THAT(error_of([&] { config_from_json(deep, fake_kinds(), "s"); }, ErrorKind::checkpoint),
             test::contains_text("s: a: unknown key"));
}

TEST_CASE("config hash: equal settings hash alike, wherever they came from") {
  Workspace workspace;
  workspace.write("a.yaml", "train: {steps: 6000, lr: 1e-3}\n");
  const std::string from_file = config_hash(load_config({"a.yaml", {}}, fake_kinds()));
  CHECK(from_file.size() == 32);
  CHECK(from_file == config_hash(load_config({"", {"train.lr=0.001", "train.steps=6000"}}, fake_kinds())));
  CHECK(config_hash(load_config({"", {"train.weight_decay=-0.0"}}, fake_kinds())) ==
        config_hash(load_config({}, fake_kinds())));
  CHECK(from_file != config_hash(load_config({"", {"train.lr=0.001", "train.steps=6001"}}, fake_kinds())));
}

TEST_CASE("one list says what the same experiment is: hash, resume and documentation follow it") {
  const Config config = load_config({}, fake_kinds());
  const Json recorded = config_to_json(config);
  const std::string page = config_markdown(fake_kinds());
  const Json same = experiment_to_json(config).flatten(), all = recorded.flatten();
  size_t bookkeeping = 0;
  for (const auto& [pointer, value] : all.items()) {
    // The same configuration with another value of this key.
    Json other = recorded;
    other[Json::json_pointer(pointer)] = value.is_boolean()  ? Json(!value.get<bool>())
                                         : value.is_number() ? Json(value.get<double>() + 0.5)
                                                             : Json("another");
    const bool free = experiment_differences(other, config).empty();
    INFO(pointer);
    CHECK(free == !same.contains(pointer));
    std::string key = pointer.substr(1);
    std::replace(key.begin(), key.end(), '/', '.');
    const size_t row = page.find("| `" + key + "` |");
    REQUIRE(row != std::string::npos);
    CHECK(free == (page.substr(row, page.find('\n', row) - row).find("[bookkeeping]") != std::string::npos));
    bookkeeping += free ? 1 : 0;
  }
  CHECK(bookkeeping == 21);
  for (const char* free :
       {"train.threads=3", "train.graph=off", "train.log_every=2", "train.keep=7", "data.prefetch=0",
        "eval.batch_size=5", "train.diagnostics_every=9", "data.root=elsewhere"}) {
    INFO(free);
    const Config changed = load_config({"", {free}}, fake_kinds());
    CHECK(config_hash(changed) == config_hash(config));
    CHECK(experiment_differences(recorded, changed).empty());
  }
  // Which examples are scored, and when: the best checkpoint is chosen by it.
  for (const char* other : {"train.lr=0.5", "eval.max_examples=10", "train.eval_every=9", "train.steps=7"}) {
    INFO(other);
    const Config changed = load_config({"", {other}}, fake_kinds());
    CHECK(config_hash(changed) != config_hash(config));
    CHECK(experiment_differences(recorded, changed).size() == 1);
  }
  const Config last_dropped = load_config({"", {"eval.drop_last=true"}}, fake_kinds());
  CHECK(
      experiment_differences(config_to_json(last_dropped),
                             load_config({"", {"eval.drop_last=true", "eval.batch_size=5"}}, fake_kinds())) ==
      std::vector<std::string>{"eval.batch_size was 32, is 5"});
  // A checkpoint of another build, or of nobody.
  Json odd = recorded;
  odd["train"].erase("lr");
  odd["train"]["momentum"] = 0.9;
  CHECK(experiment_differences(odd, config) ==
        std::vector<std::string>{"train.momentum was 0.9, is absent", "train.lr was absent, is 0.0001"});
  for (const Json& nobody : {Json(nullptr), Json(5), Json::array(), Json::object()})
    CHECK(experiment_differences(nobody, config).size() >= same.size());
}

TEST_CASE("config documentation: every key stands in the help and on the page") {
  const std::string help = help_config(fake_kinds());
  const std::string page = config_markdown(fake_kinds());
  const auto check_section = [&](const Json& section, const std::string& prefix, const auto& self) -> void {
    for (const auto& [key, value] : section.items()) {
      if (value.is_object()) {
        self(value, prefix + key + ".", self);
        continue;
      }
      INFO(prefix + key);
      CHECK_THAT(help, test::contains_text("  " + prefix + key + " = "));
      CHECK_THAT(page, test::contains_text("| `" + prefix + key + "` | `"));
    }
  };
  for (const char* kind : {"softmax", "lotformer"}) {
    const Json json =
        config_to_json(load_config({"", {concat("model.attention.kind=", kind)}}, fake_kinds()));
    check_section(json, "", check_section);
    CHECK_THAT(page, test::contains_text(concat("## model.attention with kind: ", kind)));
  }
  CHECK_THAT(page,
             test::contains_text("| `train.lr` | `1e-04` | a number > 0 and <= 1000 | peak learning rate |"));
  CHECK_THAT(page, test::contains_text("| `base` |"));
}

TEST_CASE("config files: what the project ships loads, with the published settings") {
  int count = 0;
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(LOTFORMER_SOURCE_DIR) / "configs")) {
    if (entry.path().extension() != ".yaml" || entry.path().parent_path().filename() == "sweeps") continue;
    const std::vector<std::string> kinds = fake_kinds().attention.names;  // this test knows no other modules
    if (entry.path().parent_path().filename() == "attention" &&
        std::find(kinds.begin(), kinds.end(), entry.path().stem()) == kinds.end())
      continue;
    INFO(entry.path());
    CHECK_NOTHROW(load_config({entry.path().string(), {}}, fake_kinds()));
    ++count;
  }
  CHECK(count >= 4);

  const Config config = load_config({"lra/listops.yaml", {}}, fake_kinds());
  CHECK(config.attention_kind == "lotformer");
  CHECK(lotformer_options(config).pivots == 4);
  CHECK(lotformer_options(config).mode == "exact");
  CHECK(config.data.generate_missing);
  CHECK(config.data.pad_to == 0);
  CHECK(config.model.pooling == "attention");
  CHECK(lotformer_options(config).token_masses == "uniform/learned");
  CHECK_FALSE(config.eval.drop_last);
  CHECK(config.train.clip == 5.0);

  const Config theirs = load_config({"lra/listops.yaml", {"protocol=lotformer"}}, fake_kinds());
  CHECK(theirs.protocol_label == "lotformer");  // it wins over the file, which is weaker than --set
  CHECK(theirs.data.tokenizer == "alnum");
  CHECK(theirs.model.pooling == "padded_mean");
  CHECK(theirs.model.position_init == "normal");
  CHECK_FALSE(theirs.model.end_positions);
  CHECK(theirs.model.heads == 2);
  CHECK(theirs.model.head_dim == 32);
  CHECK(lotformer_options(theirs).token_masses == "uniform");
  CHECK(lotformer_options(theirs).token_mass_spread == 0);
  CHECK(theirs.train.lr == 1e-4);
  CHECK(theirs.train.steps == 50000);
  CHECK(theirs.train.warmup_steps == 5000);
  CHECK(theirs.train.lr_floor == 0.4);
  CHECK(lotformer_options(theirs).mode == "reference");
  for (const char* protocol : {"lra", "skyformer"}) {  // they have no places from the end
    CHECK_FALSE(
        load_config({"lra/listops.yaml", {concat("protocol=", protocol)}}, fake_kinds()).model.end_positions);
  }
  CHECK(load_config({"attention/lotformer.yaml", {"protocol=lotformer"}}, fake_kinds()).protocol_label ==
        "lotformer");

  const Config smoke = load_config({"lra/smoke/listops.yaml", {}}, fake_kinds());
  CHECK_FALSE(smoke.data.generate_missing);
  CHECK(smoke.train.lr == 1e-3);
  CHECK(smoke.model.dim == 64);
}

TEST_CASE("config files: r, epsilon, batch, rate, steps and warm-up of each task") {
  struct Row {
    const char* file;
    const char* task;
    int64_t pivots;
    double epsilon;
    int64_t batch;
    double lr;
    int64_t steps, warmup;
  };
  const std::vector<Row> rows = {{"listops", "listops", 4, 0.1, 32, 1e-3, 10000, 500},
                                 {"text", "text", 32, 0.1, 32, 1e-4, 50000, 4000},
                                 {"retrieval", "retrieval", 64, 0.1, 16, 1e-4, 50000, 5000},
                                 {"image", "image", 8, 25, 64, 1e-3, 50000, 1000},
                                 {"pathfinder", "pathfinder32", 64, 0.1, 128, 1e-4, 60000, 5000},
                                 {"pathx", "pathx", 64, 0.1, 32, 1e-4, 100000, 5000}};
  for (const Row& row : rows) {
    INFO(row.file);
    const Config config = load_config({concat("lra/", row.file, ".yaml"), {}}, fake_kinds());
    CHECK(config.task == row.task);
    CHECK(lotformer_options(config).pivots == row.pivots);
    CHECK(lotformer_options(config).epsilon == row.epsilon);
    CHECK(config.train.batch_size == row.batch);
    CHECK(config.train.lr == row.lr);
    CHECK(config.train.steps == row.steps);
    CHECK(config.train.warmup_steps == row.warmup);
    const Config theirs =
        load_config({concat("lra/", row.file, ".yaml"), {"protocol=lotformer"}}, fake_kinds());
    CHECK(theirs.data.pad_to > 0);
    CHECK(theirs.eval.drop_last);
    CHECK(theirs.data.mask_zero_pixels == (row.task == std::string("image") || row.task[0] == 'p'));
    const Config smoke = load_config({concat("lra/smoke/", row.file, ".yaml"), {}}, fake_kinds());
    CHECK(smoke.task == row.task);
    CHECK(smoke.train.steps <= 1000);
  }
}
