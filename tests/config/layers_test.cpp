// SPDX-License-Identifier: MIT
// Which value wins: defaults, protocol, base, file, --set; where files are looked for.
#include "config_support.h"

using namespace lotformer;
using namespace lotformer::test;
namespace fs = std::filesystem;

TEST_CASE("config: without a file the defaults hold and head_dim is resolved") {
  const Config config = load_config({}, fake_kinds());
  CHECK(config.task == "listops");
  CHECK(config.protocol_label == "default");
  CHECK(config.attention_kind == "lotformer");
  CHECK(config.model.head_dim == 32);
  CHECK(config.train.steps == 50000);
  REQUIRE(config.attention != nullptr);
  CHECK(lotformer_options(config).pivots == 32);
}

TEST_CASE("config: a file sets every type of value") {
  const Config config = load_text(
      "train: {steps: 700, lr: 1e-3, warmup_steps: +0, clip: 5}\n"
      "data:\n  root: \"a b\"\n  generate_missing: true\n"
      "model:\n  dim: 96\n  attention:\n    pivots: 4\n    pivot_init: 0.02\n    epsilon: .5\n");
  CHECK(config.train.steps == 700);
  CHECK(config.train.lr == 1e-3);
  CHECK(config.train.clip == 5.0);
  CHECK(config.train.warmup_steps == 0);
  CHECK(config.data.root == "a b");
  CHECK(config.data.generate_missing);
  CHECK(config.model.head_dim == 48);
  CHECK(lotformer_options(config).pivots == 4);
  CHECK(lotformer_options(config).epsilon == 0.5);
}

TEST_CASE("config: base file, file and --set in rising strength") {
  Workspace workspace;
  workspace.write("sub/ground.yaml", "train: {steps: 6000, seed: 1, keep: 5}\n");
  workspace.write("sub/middle.yaml", "base: ground.yaml\ntrain: {seed: 2}\n");
  workspace.write("x.yaml", "base: sub/middle.yaml\ntrain: {seed: 3}\n");
  const Config config = load_config({"x.yaml", {"train.seed=4", "train.seed = 5"}}, fake_kinds());
  CHECK(config.train.keep == 5);
  CHECK(config.train.steps == 6000);
  CHECK(config.train.seed == 5);
  CHECK(load_config({"x.yaml", {}}, fake_kinds()).train.seed == 3);
}

TEST_CASE("config: --set takes text as it is, quoted text, and = inside the value") {
  const auto root = [](const std::string& value) {
    return load_text("task: listops\n", {"data.root=" + value}).data.root;
  };
  CHECK(root("a#b = c: d") == "a#b = c: d");
  CHECK(root("'it''s'") == "it's");
  CHECK(root("\"x\"") == "x");
  CHECK(root(" padded ") == "padded");
  CHECK(root("*star") == "*star");
}

TEST_CASE("config: a layer that changes the kind hides older options of another kind") {
  const std::string file = "model: {attention: {kind: lotformer, pivots: 4, epsilon: 0.2}}\n";
  const Config softmax = load_text(file, {"model.attention.kind=softmax"});
  CHECK(softmax.attention_kind == "softmax");
  CHECK(dynamic_cast<FakeSoftmax*>(softmax.attention.get()) != nullptr);
  // Naming the same kind again changes nothing.
  CHECK(lotformer_options(load_text(file, {"model.attention.kind=lotformer"})).pivots == 4);
  // `mode` of the file belongs to lotformer and must not reach softmax, whose choices it may not know.
  CHECK_NOTHROW(load_text("model: {attention: {mode: exact}}\n", {"model.attention.kind=softmax"}));
  CHECK(dynamic_cast<FakeSoftmax&>(
            *load_text(file, {"model.attention.kind=softmax", "model.attention.mode=reference"}).attention)
            .mode == "reference");

  Workspace workspace;
  workspace.write("a.yaml", file);
  workspace.write("b.yaml", "base: a.yaml\nmodel: {attention: {kind: softmax}}\n");
  workspace.write("c.yaml", "base: b.yaml\nmodel: {attention: {kind: lotformer, epsilon: 0.3}}\n");
  CHECK(load_config({"b.yaml", {}}, fake_kinds()).attention_kind == "softmax");
  const Config back = load_config({"c.yaml", {}}, fake_kinds());
  CHECK(lotformer_options(back).pivots == 32);  // hidden by the detour
  CHECK(lotformer_options(back).epsilon == 0.3);
}

TEST_CASE("config: options beside or above the kind must belong to it") {
  CHECK_THAT(load_error("model: {attention: {kind: softmax, pivots: 4}}\n"),
             test::contains_text("x.yaml:1:36: model.attention.pivots: unknown key of kind softmax, it "
                                 "belongs to another; known are kind, mode"));
  CHECK_THAT(load_error("model: {attention: {kind: softmax}}\n", {"model.attention.pivots=4"}),
             test::contains_text(
                 "--set model.attention.pivots=4: model.attention.pivots: unknown key of kind softmax"));
  CHECK_THAT(load_error("", {"model.attention.pivots=4", "model.attention.kind=softmax"}),
             test::contains_text("unknown key of kind"));
}

TEST_CASE("config: protocol lotformer fills what the user left open") {
  const Config theirs = load_text("protocol: lotformer\n");
  CHECK(theirs.data.tokenizer == "alnum");
  CHECK(theirs.data.pad_to == 2048);
  CHECK(theirs.data.max_length == 2000);
  CHECK(theirs.eval.drop_last);
  CHECK(theirs.model.pooling == "padded_mean");
  CHECK(lotformer_options(theirs).mode == "reference");
  CHECK(lotformer_options(theirs).half_iterations == 50);
  CHECK(theirs.protocol_label == "lotformer");

  const Config same = load_text("data: {pad_to: 2048}\n", {"protocol=lotformer"});
  CHECK(same.protocol_label == "lotformer");

  const Config changed = load_text("protocol: lotformer\ndata: {pad_to: 0}\n");
  CHECK(changed.data.pad_to == 0);
  CHECK(changed.data.tokenizer == "alnum");
  CHECK(changed.protocol_label == "lotformer (modified)");
  CHECK(load_text("protocol: lotformer\n", {"model.attention.mode=exact"}).protocol_label ==
        "lotformer (modified)");

  // A protocol wins over weaker layers than the one that names it, and gives way to what stands beside it.
  const Config above = load_text("data: {pad_to: 0}\nmodel: {pooling: mean}\n", {"protocol=lotformer"});
  CHECK(above.data.pad_to == 2048);
  CHECK(above.model.pooling == "padded_mean");
  CHECK(above.protocol_label == "lotformer");
  const Config beside = load_text("data: {pad_to: 0}\n", {"protocol=lotformer", "model.pooling=mean"});
  CHECK(beside.data.pad_to == 2048);
  CHECK(beside.model.pooling == "mean");
  CHECK(beside.protocol_label == "lotformer (modified)");

  const Config softmax = load_text("protocol: lotformer\nmodel: {attention: {kind: softmax}}\n");
  CHECK(dynamic_cast<FakeSoftmax&>(*softmax.attention).mode == "reference");
  CHECK(load_text("data: {pad_to: 0}\n").protocol_label == "default");
}

namespace {

/// Has keys that the published LOTFormer code has, and others.
struct FakeSinkformer final : Options {
  std::string mode = "truncated";
  int64_t half_iterations = 3;
  double inverse_temperature = 1;
  void visit(FieldVisitor& visitor) override {
    visitor.field({.key = "mode",
                   .help = "arithmetic",
                   .choices = {"reference", "reference_nlp", "reference_fill", "truncated"}},
                  mode);
    visitor.field({.key = "half_iterations", .help = "T", .range = {.low = 1}}, half_iterations);
    visitor.field({.key = "inverse_temperature", .help = "beta"}, inverse_temperature);
  }
};

FakeSinkformer under_protocol(const std::string& kind, const std::string& task) {
  Kinds kinds = fake_kinds();
  kinds.attention.names = {kind};
  kinds.attention.make = [](const std::string&) { return std::make_unique<FakeSinkformer>(); };
  const Config config =
      load_config({"", {"task=" + task, "protocol=lotformer", "model.attention.kind=" + kind}}, kinds);
  CHECK(config.protocol_label == "lotformer");
  return dynamic_cast<FakeSinkformer&>(*config.attention);
}

}  // namespace

TEST_CASE("config: protocol lotformer leaves the options of other modules at their own published values") {
  CHECK(under_protocol("lotformer", "listops").half_iterations == 50);
  CHECK(under_protocol("lotformer", "image").half_iterations == 5);
  for (const char* task : {"listops", "image"}) {
    CHECK(under_protocol("sinkformer", task).half_iterations == 3);
    CHECK(under_protocol("sinkformer", task).mode == "reference_nlp");
    CHECK(under_protocol("espformer", task).mode == "reference_fill");
    CHECK(under_protocol("espformer", task).inverse_temperature == 10);
    CHECK(under_protocol("mine", task).mode == "reference");
    CHECK(under_protocol("mine", task).half_iterations == 3);
    CHECK(under_protocol("mine", task).inverse_temperature == 1);
  }
}

TEST_CASE("config: files are looked for as given, in the config folder, in $LOTFORMER_CONFIG_DIR") {
  Workspace workspace;
  // The test program lies in the build tree, so the config folder is the repository's.
  CHECK(load_config({"lra/listops.yaml", {}}, fake_kinds()).train.warmup_steps == 500);
  workspace.write("lra/listops.yaml", "train: {steps: 7000}\n");
  CHECK(load_config({"lra/listops.yaml", {}}, fake_kinds()).train.steps == 7000);

  workspace.write("mine/special.yaml", "base: beside.yaml\n");
  workspace.write("mine/beside.yaml", "train: {steps: 8000}\n");
  workspace.write("beside.yaml", "train: {steps: 9000}\n");
  const std::string missing = error_of([] { load_config({"special.yaml", {}}, fake_kinds()); });
  CHECK_THAT(missing,
             test::contains_text("--config special.yaml: file not found; looked for special.yaml, ") &&
                 test::contains_text("configs/special.yaml") &&
                 test::contains_text("$LOTFORMER_CONFIG_DIR is not set"));
  ::setenv("LOTFORMER_CONFIG_DIR", (workspace.folder() / "mine").c_str(), 1);
  CHECK(load_config({"special.yaml", {}}, fake_kinds()).train.steps == 8000);
  CHECK_THAT(error_of([] {
               load_config({"nothing.yaml", {}}, fake_kinds());
             }),
             test::contains_text("mine/nothing.yaml"));
  ::unsetenv("LOTFORMER_CONFIG_DIR");
  CHECK_THAT(error_of([] {
               load_config({"lra/listop.yaml", {}}, fake_kinds());
             }),
             test::contains_text("did you mean 'lra/listops.yaml'?"));
  for (const char* name : {"listops", "listops.yaml", "configs/listops"}) {
    INFO(name);
    CHECK_THAT(error_of([name] {
                 load_config({name, {}}, fake_kinds());
               }),
               test::contains_text("did you mean 'lra/listops.yaml'?"));
  }
  // base: is looked for along the same path.
  workspace.write("own.yaml", "base: attention/softmax.yaml\n");
  CHECK(load_config({"own.yaml", {}}, fake_kinds()).attention_kind == "softmax");
}
