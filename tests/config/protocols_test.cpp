// SPDX-License-Identifier: MIT
// protocol: what each one sets for each task, what a user's own value does to it, and the files that are
// shipped for it.
#include <cmath>

#include "../../src/config/protocol.h"
#include "config_support.h"

using namespace lotformer;
using namespace lotformer::test;

namespace {

Config under(const std::string& protocol, const std::string& task, std::vector<std::string> more = {}) {
  more.insert(more.begin(), {"task=" + task, "protocol=" + protocol});
  return load_config({"", more}, fake_kinds());
}

struct Model {
  int64_t layers, dim, heads, head_dim, ff_dim;
  double dropout;
  const char* pooling;
};

void check_model(const Config& config, const Model& wanted) {
  CHECK(config.model.layers == wanted.layers);
  CHECK(config.model.dim == wanted.dim);
  CHECK(config.model.heads == wanted.heads);
  CHECK(config.model.head_dim == wanted.head_dim);
  CHECK(config.model.ff_dim == wanted.ff_dim);
  CHECK(config.model.dropout == wanted.dropout);
  CHECK(config.model.pooling == wanted.pooling);
}

struct Train {
  int64_t steps, batch;
  double lr;
  int64_t warmup;
  double decay, clip;
};

void check_train(const Config& config, const Train& wanted) {
  CHECK(config.train.steps == wanted.steps);
  CHECK(config.train.batch_size == wanted.batch);
  CHECK(config.eval.batch_size == wanted.batch);
  CHECK(config.train.lr == Approx(wanted.lr).epsilon(1e-6));
  CHECK(config.train.warmup_steps == wanted.warmup);
  CHECK(config.train.weight_decay == wanted.decay);
  CHECK(config.train.clip == wanted.clip);
}

}  // namespace

TEST_CASE("protocol lra: the release of the benchmark, task by task") {
  struct Row {
    const char* task;
    int64_t max_length;
    bool drop_last;
    Model model;
    Train train;
  };
  const double peak_1000 = 0.05 / std::sqrt(1000.0), peak_8000 = 0.05 / std::sqrt(8000.0);
  const std::vector<Row> rows = {
      {"listops", 2000, false, {4, 512, 8, 64, 1024, 0.1, "cls"}, {5000, 32, peak_1000, 1000, 0.1, 0}},
      {"text", 4000, false, {4, 256, 4, 64, 1024, 0.1, "cls"}, {20000, 32, peak_8000, 8000, 0.1, 0}},
      {"retrieval", 4000, true, {4, 128, 4, 32, 512, 0.1, "cls"}, {5000, 32, peak_8000, 8000, 0.1, 0}},
      {"image", 0, true, {1, 128, 8, 8, 128, 0.3, "cls"}, {35000, 256, 5e-4, 175, 0, 0}},
      {"pathfinder32", 0, true, {4, 32, 4, 4, 32, 0.2, "mean"}, {62400, 512, 1e-3, 312, 0, 0}},
      {"pathfinder64", 0, true, {2, 32, 4, 8, 32, 0.1, "cls"}, {125000, 256, 1e-3, 625, 0, 0}},
      {"pathfinder128", 0, true, {1, 32, 2, 8, 32, 0.1, "mean"}, {500000, 64, 1e-3, 2500, 0, 1}},
      {"pathx", 0, true, {1, 32, 2, 8, 32, 0.1, "mean"}, {500000, 64, 1e-3, 2500, 0, 1}},
      {"pathfinder256", 0, true, {2, 32, 4, 8, 32, 0.1, "cls"}, {500000, 32, 1e-3, 5000, 0, 0}}};
  for (const Row& row : rows) {
    INFO(row.task);
    const Config config = under("lra", row.task);
    CHECK(config.protocol_label == "lra");
    CHECK(config.data.max_length == row.max_length);
    CHECK(config.eval.drop_last == row.drop_last);
    check_model(config, row.model);
    check_train(config, row.train);
    CHECK(config.train.warmup_start == 0);
    CHECK(config.train.beta1 == 0.9);
    CHECK(config.train.beta2 == 0.98);
    CHECK(config.train.adam_epsilon == 1e-9);
    CHECK(config.train.precision == "fp32");
    const bool pixels = row.max_length == 0;
    CHECK(config.data.mask_zero_pixels == pixels);
    CHECK(config.data.split == (pixels ? "tfds" : "default"));
    if (pixels) CHECK(config.train.lr_floor == 0);
  }
  CHECK(under("lra", "listops").train.lr_floor == Approx(std::sqrt(0.2)).epsilon(1e-6));
  CHECK(under("lra", "text").train.lr_floor == Approx(std::sqrt(0.4)).epsilon(1e-6));
  CHECK(under("lra", "listops").data.tokenizer == "default");
}

TEST_CASE("protocol skyformer: two layers, task by task") {
  struct Row {
    const char* task;
    int64_t max_length, pad_to, eval_every;
    Train train;
  };
  const double clip = Config{}.train.clip;  // theirs clips each value, which no key says
  const std::vector<Row> rows = {{"listops", 2000, 2048, 500, {50000, 32, 1e-4, 1000, 0, clip}},
                                 {"text", 4000, 4096, 500, {50000, 32, 1e-4, 80, 0, clip}},
                                 {"retrieval", 4000, 4096, 1000, {50000, 16, 2e-4, 800, 0, clip}},
                                 {"image", 0, 1024, 50, {50000, 256, 1e-4, 175, 0, clip}},
                                 {"pathfinder32", 0, 1024, 500, {50000, 128, 2e-4, 312, 0, clip}}};
  for (const Row& row : rows) {
    INFO(row.task);
    const Config config = under("skyformer", row.task);
    CHECK(config.protocol_label == "skyformer");
    CHECK(config.data.max_length == row.max_length);
    CHECK(config.data.pad_to == row.pad_to);
    CHECK(config.data.mask_zero_pixels == (row.max_length == 0));
    check_model(config, {2, 64, 2, 32, 128, 0.1, "padded_mean"});
    check_train(config, row.train);
    CHECK(config.train.eval_every == row.eval_every);
    CHECK(config.train.warmup_start == 0.04);
    CHECK(config.train.lr_floor == 4e-6);
    CHECK(config.train.beta2 == 0.999);
    CHECK(config.train.adam_epsilon == 1e-6);
    CHECK(config.eval.drop_last);
  }
  CHECK(under("skyformer", "listops").data.tokenizer == "alnum");
}

TEST_CASE("protocols: given values win, and the label says so") {
  for (const char* protocol : {"lra", "skyformer"}) {
    INFO(protocol);
    const Config config = under(protocol, "listops", {"model.layers=3"});
    CHECK(config.model.layers == 3);
    CHECK(config.model.ff_dim == under(protocol, "listops").model.ff_dim);
    CHECK(config.protocol_label == concat(protocol, " (modified)"));
    // The same value once more, or a key that the protocol leaves alone, modifies nothing.
    CHECK(under(protocol, "listops", {"train.batch_size=32"}).protocol_label == protocol);
    CHECK(under(protocol, "listops", {"train.seed=7", "data.root=elsewhere"}).protocol_label == protocol);
    const std::string printed =
        print_config({"", {concat("protocol=", protocol), "train.lr=0.5"}}, fake_kinds());
    CHECK_THAT(printed, test::contains_text(concat("# protocol ", protocol, "\n")));
    const Config again =
        config_from_json(config_to_json(under(protocol, "image")), fake_kinds(), "state.json");
    CHECK(again.protocol_label == protocol);
  }
  const Config file = load_text("protocol: lra\nmodel: {dim: 96}\n", {"train.steps=10"});
  CHECK(file.model.dim == 96);
  CHECK(file.train.steps == 10);
  CHECK(file.model.heads == 8);
  CHECK(file.protocol_label == "lra (modified)");
}

TEST_CASE("protocols: an unknown one, and a task that one says nothing about, are refused") {
  CHECK_THAT(
      load_error("protocol: skyforme\n"),
      test::contains_text("x.yaml:1:11: protocol: must be one of default, lotformer, lra, skyformer, got "
                          "'skyforme'; did you mean 'skyformer'?"));
  for (const char* task : {"pathfinder64", "pathfinder128", "pathfinder256", "pathx"}) {
    CHECK_THAT(load_error(concat("protocol: skyformer\ntask: ", task, "\n")),
               test::contains_text(concat("x.yaml:2:7: task: skyformer has no published setting for ", task,
                                          ", only for listops, text, retrieval, image, pathfinder32")));
    CHECK_NOTHROW(under("lra", task));
    CHECK_NOTHROW(under("lotformer", task));
  }
}

namespace {

/// Every option of an attention module that a row of a protocol may name.
struct EveryOption final : Options {
  std::string mode = "none", masses = "none", pivot_init = "none", token_masses = "none";
  int64_t half_iterations = 1, features = 1;
  double inverse_temperature = 1, token_mass_spread = 1;
  void visit(FieldVisitor& visitor) override {
    visitor.field({.key = "mode", .help = ""}, mode);
    visitor.field({.key = "masses", .help = ""}, masses);
    visitor.field({.key = "pivot_init", .help = ""}, pivot_init);
    visitor.field({.key = "token_masses", .help = ""}, token_masses);
    visitor.field({.key = "token_mass_spread", .help = ""}, token_mass_spread);
    visitor.field({.key = "half_iterations", .help = ""}, half_iterations);
    visitor.field({.key = "features", .help = ""}, features);
    visitor.field({.key = "inverse_temperature", .help = ""}, inverse_temperature);
  }
};

}  // namespace

TEST_CASE("protocols: each row names a key that exists, with a value that arrives") {
  for (const char* name : {"lotformer", "lra", "skyformer"}) {
    const config::Protocol* protocol = config::find_protocol(name);
    REQUIRE(protocol != nullptr);
    CHECK(protocol->settings.size() > 20);
    for (const config::Setting& row : protocol->settings) {
      INFO(name << ": " << row.task << " " << row.kind << " " << row.path);
      const std::string task(row.task.empty() ? "listops" : row.task);
      const std::string kind(row.kind.empty() ? "lotformer" : row.kind);
      CHECK(config::published_value(*protocol, task, kind, row.path) == row.value);  // else it is hidden
      const Kinds kinds = {{{kind}, [](const std::string&) { return std::make_unique<EveryOption>(); }},
                           data::task_kinds()};
      std::vector<std::string> settings = {"task=" + task, concat("protocol=", name),
                                           "model.attention.kind=" + kind};
      const Config left_out = load_config({"", settings}, kinds);
      settings.push_back(concat(row.path, "=", row.value));
      const Config given = load_config({"", settings}, kinds);
      CHECK(config_to_json(left_out) == config_to_json(given));
      CHECK(given.protocol_label == name);
    }
  }
  const config::Protocol& lra = config::lra_protocol();
  CHECK(config::published_value(lra, "pathfinder32", "performer", "model.heads") == "8");
  CHECK(config::find_protocol("default") == nullptr);
}

TEST_CASE("protocols: Path-X is Pathfinder 128") {
  for (const char* protocol : {"lotformer", "lra"}) {
    Json small = config_to_json(under(protocol, "pathfinder128"));
    small["task"] = "pathx";
    CHECK(config_to_json(under(protocol, "pathx")) == small);
  }
  CHECK(under("lotformer", "pathx").data.pad_to == 16384);
}

TEST_CASE("protocols: the shipped files leave every other key to the protocol") {
  const std::vector<std::pair<std::string, std::string>> tasks = {
      {"listops", "listops"},         {"text", "text"},  {"retrieval", "retrieval"}, {"image", "image"},
      {"pathfinder", "pathfinder32"}, {"pathx", "pathx"}};
  for (const std::string protocol : {"lra", "skyformer"}) {
    for (const auto& [file, task] : tasks) {
      if (protocol == "skyformer" && task == "pathx") continue;
      INFO(protocol << "/" << file);
      const Config config = load_config({concat("lra/", protocol, "/", file, ".yaml"), {}}, fake_kinds());
      CHECK(config.task == task);
      CHECK(config.protocol_label == protocol);
      CHECK(config_to_json(config) == config_to_json(under(protocol, task)));
    }
  }
}
