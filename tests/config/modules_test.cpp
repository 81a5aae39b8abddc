// SPDX-License-Identifier: MIT
// The real attention modules in a configuration: shipped files, the protocol, options that contradict each
// other.
#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "lotformer/attention/attention.h"
#include "lotformer/config/load.h"
#include "lotformer/core/error.h"
#include "lotformer/core/text.h"
#include "lotformer/data/task.h"
#include "support/catch.h"

namespace lotformer {
namespace {

using Key = std::pair<std::string, std::string>;  // kind, option
using Settings = std::vector<std::string>;

Kinds known_kinds() {
  return {attention_kinds(), data::task_kinds()};
}

std::string shipped(const std::string& kind) {
  return concat(LOTFORMER_SOURCE_DIR "/configs/attention/", kind, ".yaml");
}

Json attention_of(const ConfigRequest& request) {
  return config_to_json(load_config(request, known_kinds()))["model"]["attention"];
}

std::string error_of(const Settings& assignments) {
  try {
    load_config({"", assignments}, known_kinds());
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::usage);
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("config: a module that looks back only does not go with a class token in front") {
  const std::string refused = "with causal_pivot the class token of pooling cls sees nothing of the sequence";
  CHECK_THAT(error_of({"model.attention.kind=causal_pivot", "model.pooling=cls"}),
             test::contains_text("model.pooling: " + refused));
  CHECK_THAT(error_of({"model.attention.kind=causal_pivot", "protocol=lra"}), test::contains_text(refused));
  CHECK(error_of({"model.attention.kind=causal_pivot", "model.pooling=attention"}) == "no error");
  CHECK(error_of({"model.attention.kind=linear", "model.pooling=cls"}) == "no error");
}

TEST_CASE("config page: every row of a table has four cells") {
  std::istringstream page(config_markdown(known_kinds()));
  int rows = 0;
  for (std::string line; std::getline(page, line);) {
    if (line.rfind("| ", 0) != 0) continue;
    int bars = 0;
    for (size_t i = 0; i < line.size(); ++i) bars += line[i] == '|' && (i == 0 || line[i - 1] != '\\');
    INFO(line);
    CHECK(bars == 5);
    ++rows;
  }
  CHECK(rows > 100);
}

TEST_CASE(
    "configs/attention: the values are the defaults of the modules, each key is there, exceptions have a "
    "reason") {
  const std::map<Key, std::string> differs = {
      {{"lotformer", "pivots"},
       "4, the published value for ListOps; 32, the published value for text, in C++"}};
  const std::map<Key, std::string> left_out = {
      {{"softmax", "mode"}, "the protocol sets it"},
      {{"performer", "mode"}, "the protocol sets it"},
      {{"sinkformer", "mode"}, "the protocol sets it"},
      {{"espformer", "mode"}, "the protocol sets it"},
      {{"lotformer", "mode"}, "the protocol sets it"},
      {{"lotformer", "half_iterations"}, "the protocol sets it"},
      {{"lotformer", "marginals"}, "variants beside the published method"},
      {{"lotformer", "token_masses"}, "the same"},
      {{"lotformer", "token_mass_spread"}, "the same"},
      {{"lotformer", "relaxation"}, "the same"},
      {{"lotformer", "relaxation_learned"}, "the same"},
      {{"lotformer", "free_keys"}, "the same"},
      {{"lotformer", "qk_norm"}, "the same"},
      {{"espformer", "slice_count"}, "has no meaning with slices: axes"},
      {{"espformer", "weight_samples"}, "has no meaning with weights: exact"}};
  std::map<Key, std::string> differing, missing;
  for (const AttentionSpec& spec : attention_specs()) {
    const ConfigRequest request{shipped(spec.kind), {}};
    const Json given = attention_of(request);
    const Json standard = attention_of({"", {"model.attention.kind=" + spec.kind}});
    REQUIRE(given["kind"] == spec.kind);
    const std::string printed = print_config(request, known_kinds());
    for (const auto& [key, value] : given.items()) {
      if (value != standard[key]) differing[{spec.kind, key}] = to_line(value);
      const size_t line = printed.find("\n    " + key + ":");
      REQUIRE(line != std::string::npos);
      const std::string text = printed.substr(line + 1, printed.find('\n', line + 1) - line - 1);
      if (text.ends_with("# default")) missing[{spec.kind, key}] = text;
    }
  }
  const auto compare = [](const std::map<Key, std::string>& found, const std::map<Key, std::string>& listed) {
    for (const auto& [key, value] : found) {
      INFO(key.first << "." << key.second << ": " << value);
      CHECK(listed.count(key) == 1);
    }
    for (const auto& [key, reason] : listed) {
      INFO(key.first << "." << key.second << " is no exception any more: " << reason);
      CHECK(found.count(key) == 1);
    }
  };
  compare(differing, differs);
  compare(missing, left_out);
}

TEST_CASE("protocol lotformer: every module gets its own published form") {
  const auto under = [](const std::string& kind, const std::string& task, const std::string& file = "") {
    const ConfigRequest request{file, {"protocol=lotformer", "task=" + task, "model.attention.kind=" + kind}};
    CHECK(load_config(request, known_kinds()).protocol_label == "lotformer");
    return attention_of(request);
  };
  for (const char* task : {"listops", "image"}) {
    CHECK(under("softmax", task)["mode"] == "reference");
    CHECK(under("performer", task)["mode"] == "reference");
    CHECK(under("sinkformer", task)["mode"] == "reference_nlp");
    CHECK(under("sinkformer", task)["half_iterations"] == 3);
    CHECK(under("espformer", task)["mode"] == "reference_fill");
    CHECK(under("espformer", task)["inverse_temperature"] == 10);
    CHECK(under("lotformer", task)["mode"] == "reference");
    CHECK(under("lotformer", task)["half_iterations"] == (task == std::string("image") ? 5 : 50));
  }
  // The shipped files leave the protocol its keys or agree with it.
  for (const AttentionSpec& spec : attention_specs()) {
    INFO(spec.kind);
    const Json from_file = under(spec.kind, "listops", shipped(spec.kind));
    if (from_file.contains("mode")) CHECK(from_file["mode"].get<std::string>().starts_with("reference"));
  }
}

TEST_CASE("options of a module that contradict each other: the key at fault, before anything is read") {
  struct Case {
    const char* kind;
    Settings settings;
    const char* message;
  };
  const std::vector<Case> cases = {
      {"sinkformer", {"gradient=implicit"}, "gradient: gradient implicit needs mode exact; mode truncated"},
      {"sinkformer",
       {"gradient=unrolled", "mode=reference_nlp"},
       "mode: mode reference_nlp has its published"},
      {"sinkformer", {"mode=reference_nlp", "gradient=unrolled"}, "gradient: mode reference_nlp has its"},
      {"performer", {"kernel=relu", "mode=favor"}, "mode: kernel relu needs mode masked, not favor"},
      {"espformer", {"slice_count=8"}, "slice_count: slice_count 8 needs slices learned or given"},
      {"espformer", {"hard=true", "slices=learned"}, "slices: slices learned needs hard false"},
      {"lotformer",
       {"mode=reference", "masses=learned"},
       "masses: masses learned needs mode truncated or exact"},
      {"lotformer",
       {"token_masses=learned", "core=cuda"},
       "core: core cuda has no token_masses 'learned' yet"},
  };
  for (const Case& c : cases) {
    Settings all = {concat("model.attention.kind=", c.kind)};
    for (const std::string& setting : c.settings) all.push_back("model.attention." + setting);
    INFO(join(all, " "));
    const std::string error = error_of(all);
    CHECK_THAT(error, test::contains_text(concat("--set ", all.back(), ": model.attention.", c.message)));
  }
  CHECK(error_of({"model.attention.kind=sinkformer", "model.attention.mode=exact",
                  "model.attention.gradient=implicit"}) == "no error");
  // The same check guards what C++ users build.
  for (const AttentionSpec& spec : attention_specs())
    CHECK_NOTHROW(spec.build(*spec.options(), {.heads = 2, .head_dim = 4}));
}

}  // namespace lotformer
