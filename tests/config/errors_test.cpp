// SPDX-License-Identifier: MIT
// Every error message that a configuration can cause: place, key, what is wrong, what is allowed.
#include <algorithm>

#include "config_support.h"

using namespace lotformer;
using namespace lotformer::test;

namespace {

struct Case {
  std::string text;
  std::string expected;
};

void check_cases(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    INFO("file:\n" << c.text);
    CHECK_THAT(load_error(c.text), test::contains_text(c.expected));
  }
}

}  // namespace

TEST_CASE("config errors: unknown keys name the nearest known one") {
  check_cases({
      {"train:\n  stepz: 5\n",
       "x.yaml:2:3: train.stepz: unknown key of section train; did you mean 'steps'?"},
      {"modle: {dim: 3}\n", "x.yaml:1:1: modle: unknown key of the top level; did you mean 'model'?"},
      {"model: {atention: {kind: softmax}}\n",
       "x.yaml:1:9: model.atention: unknown key of section model; did you mean 'attention'?"},
      {"model: {attention: {epsilonn: 1}}\n",
       "model.attention.epsilonn: unknown key of kind lotformer; did you mean 'epsilon'?"},
      {"learning_rate_of_everything: 1\n",
       "unknown key of the top level; known are base, task, protocol, data, model, train, eval"},
      {"train: {pivots: 4}\n",
       "train.pivots: unknown key of section train; did you mean 'model.attention.pivots'?"},
      {"train.lr: 1\n",
       "x.yaml:1:1: train.lr: unknown key of the top level; write 'lr' indented below 'train'"},
      {"train:\n  <<: {lr: 1}\n", "x.yaml:2:3: train.<<: unknown key of section train"},
      {"'': 3\n", "x.yaml:1:1: '': unknown key of the top level"},
      {"\"a\\tb\": 3\n", "x.yaml:1:1: 'a\\x09b': unknown key of the top level"},
  });
}

TEST_CASE("config errors: duplicate keys") {
  check_cases({
      {"train:\n  lr: 1\n  lr: 2\n",
       "x.yaml:3:3: train.lr: duplicate key, first given in line 2; keep one of the two"},
      {"train: {lr: 1}\ndata: {}\ntrain: {lr: 1}\n",
       "x.yaml:3:1: train: duplicate key, first given in line 1"},
      {"model:\n  attention:\n    kind: softmax\n    kind: softmax\n",
       "x.yaml:4:5: model.attention.kind: duplicate key"},
      {"a:\n  b: 1\n  b: 1\n", "x.yaml:3:3: a.b: duplicate key"},
  });
}

TEST_CASE("config errors: wrong types") {
  check_cases({
      {"train: {steps: many}\n",
       "x.yaml:1:16: train.steps: must be a whole number between 1 and 1000000000 in plain digits, got "
       "'many'"},
      {"train: {steps: 1e3}\n", "in plain digits, got '1e3'; write 1000"},
      {"train: {steps: 1000.0}\n", "got '1000.0'; write 1000"},
      {"train: {steps: 2.5}\n", "in plain digits, got '2.5'"},
      {"train: {steps: 0x10}\n", "in plain digits, got '0x10'"},
      {"train: {steps: 010}\n", "in plain digits, got '010'"},
      {"train: {steps: \"500\"}\n", "got the text '500'; remove the quotes"},
      {"train: {steps: true}\n", "got 'true'"},
      {"train: {lr: fast}\n", "train.lr: must be a number > 0 and <= 1000, got 'fast'"},
      {"train: {lr: 1e-4x}\n", "got '1e-4x'"},
      {"train: {lr: '1'}\n", "remove the quotes"},
      {"data: {generate_missing: yes}\n", "data.generate_missing: must be true or false, got 'yes'"},
      {"data: {generate_missing: 1}\n", "must be true or false, got '1'"},
      {"data: {generate_missing: 'true'}\n", "remove the quotes"},
      {"train: {steps: [1, 2]}\n",
       "x.yaml:1:16: train.steps: must be a whole number between 1 and 1000000000, got a list"},
      {"data: {root: [a]}\n", "data.root: must be text, got a list"},
      {"data: {root: {a: b}}\n", "data.root: must be text, got a section"},
      {"train: {lr: {a: 1}}\n", "train.lr: must be a number > 0 and <= 1000, got a section"},
      {"data:\n  root:\ntrain: {}\n",
       "x.yaml:2:3: data.root: must be text, got no value; give one or remove the key"},
      {"train: {lr: null}\n", "train.lr: must be a number > 0 and <= 1000, got no value"},
      {"train: {steps: ~}\n", "got no value"},
      {"data: {root: ''}\n", "data.root: must be text, got an empty one"},
      {"data: {root: \"a\\nb\"}\n", "data.root: must be one line of text"},
      {"train:\n", "x.yaml:1:1: train: is a section; its keys follow indented below it, got nothing"},
      {"train: 5\n", "x.yaml:1:8: train: is a section; its keys follow indented below it, got '5'"},
      {"train: [lr]\n", "got a list"},
      {"model: {attention: softmax}\n",
       "model.attention: is a section; write model.attention.kind and the options of that kind, got "
       "'softmax'"},
      {"? [a]\n: 3\n", "x.yaml:1:3: a key must be a single word"},
      {"? {a: b}\n: 3\n", "a key must be a single word"},
      {"train: {steps: !!int 5}\n", "YAML tag 'tag:yaml.org,2002:int' is not supported"},
  });
}

TEST_CASE("config errors: out of range and non-finite") {
  check_cases({
      {"model:\n  attention:\n    epsilon: -0.1\n",
       "x.yaml:3:14: model.attention.epsilon: must be > 0, got -0.1"},
      {"model: {attention: {epsilon: 0}}\n", "must be > 0, got 0"},
      {"model: {dim: 0}\n", "model.dim: must be between 1 and 65536, got 0"},
      {"model: {layers: 100000}\n", "model.layers: must be between 1 and 1000, got 100000"},
      {"model: {dropout: 1}\n", "model.dropout: must be >= 0 and < 1, got 1"},
      {"model: {dropout: -1e-300}\n", "must be >= 0 and < 1, got -1e-300"},
      {"train: {seed: -1}\n", "train.seed: must be >= 0, got -1"},
      {"train: {seed: 9223372036854775808}\n", "which does not fit into 64 bits"},
      {"train: {steps: -99999999999999999999}\n", "which does not fit into 64 bits"},
      {"train: {lr: .nan}\n", "train.lr: must be a number > 0 and <= 1000 and finite, got '.nan'"},
      {"train: {lr: .inf}\n", "and finite, got '.inf'"},
      {"train: {clip: -.INF}\n", "and finite, got '-.INF'"},
      {"train: {clip: inf}\n", "and finite, got 'inf'"},
      {"train: {clip: nan}\n", "and finite, got 'nan'"},
      {"train: {lr: 1e999}\n", "got '1e999', which is outside the range of a double"},
      {"train: {steps: .inf}\n", "train.steps: must be a whole number"},
      {"train: {precision: fp8}\n", "train.precision: must be one of auto, fp32, bf16, fp16, got 'fp8'"},
      {"task: listop\n",
       "x.yaml:1:7: task: must be one of listops, text, retrieval, image, pathfinder32, pathfinder64, "
       "pathfinder128, pathfinder256, pathx, custom, got 'listop'; did you mean 'listops'?"},
      {"protocol: lotfomer\n",
       "must be one of default, lotformer, lra, skyformer, got 'lotfomer'; did you mean 'lotformer'?"},
      {"model: {attention: {kind: softmx, anything: 3}}\n",
       "x.yaml:1:27: model.attention.kind: must be one of softmax, lotformer, got 'softmx'; did you mean "
       "'softmax'?"},
      {"model: {attention: {mode: exat}}\n",
       "model.attention.mode: must be one of reference, truncated, exact, got 'exat'; did you mean 'exact'?"},
  });
  CHECK(load_text("train: {seed: 9223372036854775807}\n").train.seed == INT64_MAX);
}

TEST_CASE("config errors: options of one task in the file of another") {
  check_cases({
      {"task: text\ndata: {tokenizer: alnum}\n",
       "x.yaml:2:19: data.tokenizer: tokenizer alnum applies to listops only, not to text; use default or "
       "char"},
      {"data: {vocab: s4}\ntask: text\n", "x.yaml:2:7: task: vocab s4 applies to listops only, not to text"},
      {"task: image\ndata: {tokenizer: char}\n",
       "data.tokenizer: tokenizer char applies to text and retrieval only, not to image; use default"},
      {"task: image\ndata: {append_eos: true}\n",
       "data.append_eos: append_eos true applies to listops, text and retrieval only, not to image; use "
       "false"},
      {"task: text\ndata: {append_eos: true}\n", "data.append_eos: the byte tokeniser has no end token"},
      {"task: image\ndata: {max_length: 1023}\n",
       "data.max_length: max_length 1023 would cut the examples of image, which have always 1024 tokens; set "
       "it to 0"},
      {"task: pathx\ndata: {pad_to: 16383}\n", "pad_to 16383 is less than the longest sequence, 16384"},
      {"task: text\ndata: {tokenizer: char, pad_to: 4000}\n",
       "data.pad_to: pad_to 4000 is less than the longest sequence, 4096"},
      {"task: retrieval\ndata: {val: holdout}\n",
       "data.val: val holdout applies to text only, not to retrieval"},
      {"task: text\ndata: {val: tests}\n", "data.val: must be one of test, holdout, got 'tests'"},
      {"task: text\ndata: {split: tfds}\n",
       "data.split: split tfds applies to image and pathfinder only, not to text"},
      {"task: pathx\ndata: {grey: pil}\n", "data.grey: grey pil applies to image only, not to pathx"},
      {"data: {mask_zero_pixels: true}\n", "applies to image and pathfinder only, not to listops"},
      {"data: {input: real}\n",
       "data.input: input real applies to image and pathfinder only, not to listops"},
      {"task: image\ndata: {input_mean: 0.4}\n", "data.input_mean: belongs to data.input real"},
      {"task: pathx\ndata: {input: real, input_std: 0}\n", "data.input_std: must be"},
      {"task: image\ndata: {difficulty: easy}\n",
       "data.difficulty: difficulty easy applies to pathfinder only, not to image"},
      {"task: image\ndata: {skip_empty_images: true}\n", "applies to pathfinder only, not to image"},
      {"task: text\ndata: {strict_counts: false}\n",
       "x.yaml:2:23: data.strict_counts: strict_counts false applies to image and pathfinder only, not to "
       "text"},
      {"task: image\ndata: {verify_labels: true}\n",
       "verify_labels true applies to listops only, not to image"},
      {"data: {grey: pil}\ntask: text\n", "x.yaml:2:7: task: grey pil applies to image only, not to text"},
      {"task: text\ndata: {generate_missing: true}\n",
       "data.generate_missing: generate_missing true applies to listops only, not to text; use false"},
  });
  // Of custom data the files decide: nothing is known of their length before.
  CHECK(load_text("task: custom\ndata: {tokenizer: ids, pad_to: 5}\n").data.tokenizer == "ids");
  CHECK_THAT(load_error("task: custom\ndata: {max_length: 6, pad_to: 5}\n"),
             test::contains_text("pad_to 5 is less than the longest sequence, 6"));
  CHECK_THAT(
      load_error("task: image\ndata: {tokenizer: ids}\n"),
      test::contains_text(
          "x.yaml:2:19: data.tokenizer: tokenizer ids applies to custom only, not to image; use default"));
  CHECK_THAT(
      load_error("task: custom\nprotocol: lra\n"),
      test::contains_text("protocol: lra has no published setting for custom, only for listops, text,"));
  const Config image = load_text("task: image\nprotocol: lotformer\n");
  CHECK(image.data.mask_zero_pixels);
  CHECK(image.data.pad_to == 1024);
  CHECK(image.data.split == "tfds");
  CHECK(image.data.tokenizer == "default");
  CHECK(load_text("task: text\nprotocol: lotformer\n").data.pad_to == 4096);
  CHECK(load_text("task: pathfinder256\nprotocol: lotformer\n").data.pad_to == 65536);
  CHECK(load_text("task: pathx\nprotocol: lotformer\ndata: {pad_to: 0}\n").protocol_label ==
        "lotformer (modified)");
}

TEST_CASE("config errors: rules over several keys point at the later one") {
  check_cases({
      {"model:\n  heads: 3\n  dim: 64\n",
       "x.yaml:3:8: model.dim: dim 64 is not a multiple of heads 3; give model.head_dim"},
      {"model: {heads: 5}\n", "x.yaml:1:16: model.heads: dim 64 is not a multiple of heads 5"},
      {"train:\n  accumulate: 9\n  batch_size: 8\n",
       "x.yaml:3:15: train.batch_size: accumulate 9 is more than batch_size 8"},
      {"train: {accumulate: 64}\n", "train.accumulate: accumulate 64 is more than batch_size 32"},
      {"data: {pad_to: 1999}\n", "data.pad_to: pad_to 1999 is less than the longest sequence, 2000"},
      {"data: {pad_to: 2000, vocab: s4}\n",
       "data.vocab: pad_to 2000 is less than the longest sequence, 2048"},
      {"protocol: lotformer\ndata: {max_length: 4000}\n",
       "data.max_length: pad_to 2048 is less than the longest sequence, 4000"},
      {"data: {max_length: 1, append_eos: true}\n",
       "data.append_eos: max_length 1 leaves no token beside the end token"},
      {"data: {tokenizer: alnum, vocab: s4}\n",
       "data.vocab: vocab s4 and tokenizer alnum belong to different harnesses"},
      {"data: {tokenizer: char}\n",
       "data.tokenizer: tokenizer char applies to text and retrieval only, not to listops; use default or "
       "alnum"},
  });
  CHECK(load_text("model: {heads: 3, head_dim: 7}\n").model.head_dim == 7);
  CHECK_THAT(load_error("train: {batch_size: 8}\n", {"train.accumulate=30"}),
             test::contains_text("--set train.accumulate=30: train.accumulate: accumulate 30"));
  // A key with an error of its own takes part in no rule.
  CHECK_THAT(load_error("train: {batch_size: 8, accumulate: x}\n"), !test::contains_text("is more than"));
  // A shortened run of the published schedule stays in its warm-up.
  CHECK(load_text("train: {steps: 100}\n").train.warmup_steps == 5000);
}

TEST_CASE("config errors: options of a module that contradict each other point at the later one") {
  check_cases({
      {"model:\n  attention:\n    mode: reference\n    masses: learned\n",
       "x.yaml:4:13: model.attention.masses: learned masses"},
      {"model:\n  attention:\n    masses: learned\n    mode: reference\n",
       "x.yaml:4:11: model.attention.mode: learned masses"},
      {"protocol: lotformer\nmodel: {attention: {masses: learned}}\n",
       "x.yaml:2:29: model.attention.masses: learned masses"},
  });
  CHECK_THAT(
      load_error("model: {attention: {mode: reference}}\n", {"model.attention.masses=learned"}),
      test::contains_text("--set model.attention.masses=learned: model.attention.masses: learned masses"));
  const std::string both = load_error(
      "model: {attention: {mode: reference, masses: learned, tolerance: 1e-7}}\ntrain: {steps: 0}\n");
  CHECK_THAT(both, test::contains_text("learned masses") && test::contains_text("tolerances") &&
                       test::contains_text("train.steps"));
  // A key with an error of its own takes part in no rule.
  CHECK_THAT(load_error("model: {attention: {mode: refernce, masses: learned}}\n"),
             !test::contains_text("learned masses"));
  // A checkpoint's state file is held to the same.
  Json json = config_to_json(load_config({}, fake_kinds()));
  json["model"]["attention"]["mode"] = "reference";
  json["model"]["attention"]["masses"] = "learned";
  CHECK_THAT(error_of([&] { config_from_json(json, fake_kinds(), "state.json"); }, ErrorKind::checkpoint),
             test::contains_text("state.json: model.attention.masses: learned masses"));
  // Constructors have the same check for options that come from C++.
  FakeLotformer options;
  CHECK_NOTHROW(require_no_conflict(options, "model.attention"));
  options.mode = "reference";
  options.masses = "learned";
  CHECK(error_of([&] { require_no_conflict(options, "model.attention"); }) ==
        "model.attention.masses: learned masses");
}

TEST_CASE("config errors: all at once, sorted by place, each once") {
  const std::string text =
      "train:\n  lr: -1\n  stepz: 3\nmodel:\n  dim: 0\n  attention: {kind: softmx}\ndata: {pad_to: "
      "10}\nbogus: 1\n";
  const std::string message = load_error(text, {"eval.batch_size=0", "data.rot=x"});
  const std::vector<std::string> starts = {"x.yaml:2:7: train.lr",
                                           "x.yaml:3:3: train.stepz",
                                           "x.yaml:5:8: model.dim",
                                           "x.yaml:6:21: model.attention.kind",
                                           "x.yaml:7:16: data.pad_to",
                                           "x.yaml:8:1: bogus",
                                           "--set eval.batch_size=0: eval.batch_size",
                                           "--set data.rot=x: data.rot"};
  size_t at = 0;
  for (const std::string& start : starts) {
    INFO(start << "\n" << message);
    REQUIRE(message.compare(at, start.size(), start) == 0);
    at = message.find('\n', at);
    at = at == std::string::npos ? message.size() : at + 1;
  }
  CHECK(at == message.size());

  std::string many;
  for (int i = 0; i < 300; ++i) many += concat("key_", i, ": 1\n");
  CHECK_THAT(load_error(many), test::contains_text("... and 200 more errors"));
}

TEST_CASE("config errors: --set") {
  const auto set_error = [](const std::string& assignment) {
    return load_error("task: listops\n", {assignment});
  };
  const std::string form = "must have the form SECTION.KEY=VALUE, for instance --set train.steps=500";
  for (const std::string bad : {"a", "", "=3", ".a=3", "a..b=3", "train.=3", " =1"}) {
    INFO(bad);
    CHECK_THAT(set_error(bad), test::contains_text("--set " + bad + ": " + form));
  }
  CHECK_THAT(set_error("model.attention=softmax"),
             test::contains_text("model.attention: is a section; write model.attention.kind"));
  CHECK_THAT(set_error("train=3"), test::contains_text("--set train=3: train: is a section"));
  CHECK_THAT(set_error("trian.steps=3"),
             test::contains_text("trian: unknown key of the top level; did you mean 'train'?"));
  CHECK_THAT(set_error("train.lr.x=3"),
             test::contains_text("train.lr: must be a number > 0 and <= 1000, got a section"));
  CHECK_THAT(set_error("train.lr="), test::contains_text("got no value"));
  CHECK_THAT(set_error("train.lr=null"), test::contains_text("got no value"));
  CHECK_THAT(set_error("train.lr=.nan"), test::contains_text("and finite"));
  CHECK_THAT(set_error("data.root='x"),
             test::contains_text("is not one whole YAML string; check the quotes"));
  CHECK_THAT(set_error("data.root='x' y"), test::contains_text("check the quotes"));
  CHECK_THAT(set_error("data.root=\xff"),
             test::contains_text("--set data.root=\\xFF: the text is not UTF-8"));
  CHECK_THAT(set_error("base=x.yaml"),
             test::contains_text("belongs into a file; name the file with --config"));
  CHECK_THAT(set_error(std::string(100, '.') + "=1"), test::contains_text(form));
  std::string deep = "a";
  for (int i = 0; i < 5000; ++i) deep += ".a";
  CHECK_THAT(set_error(deep + "=1"), test::contains_text(form));
}
