// SPDX-License-Identifier: MIT
// Files from a stranger: not YAML, not text, too deep, too long, in a circle. Each loads or is refused with a
// clear error.
#include <random>

#include "config_support.h"

using namespace lotformer;
using namespace lotformer::test;
using namespace std::string_literals;

TEST_CASE("config hostile: empty and binary files") {
  const std::string empty = "x.yaml:1:1: the file holds no settings; write for instance 'task: listops'";
  CHECK_THAT(load_error(""), test::contains_text(empty));
  CHECK_THAT(load_error("\n\n# only a comment\n"), test::contains_text(empty));
  CHECK_THAT(load_error("---\n...\n"), test::contains_text(empty));
  CHECK_THAT(load_error("null\n"), test::contains_text(empty));
  CHECK_THAT(load_error("\x7f"
                        "ELF\x02\x01\x01\0\0\0"s),
             test::contains_text("x.yaml:1:1: the file is binary (byte '\\x7F')"));
  CHECK_THAT(load_error("task: listops\nx: \0"s),
             test::contains_text("x.yaml:2:4: the file is binary (byte '\\x00')"));
  CHECK_THAT(
      load_error("task: \xff\xfe\n"),
      test::contains_text("x.yaml:1:7: the file is binary (byte '\\xFF'); a configuration is YAML in UTF-8"));
  CHECK_THAT(load_error("\xff\xfet\0a\0"s), test::contains_text("x.yaml:1:1: the file is binary"));
  CHECK_THAT(load_error("task: \xed\xa0\x80\n"), test::contains_text("binary"));  // a lone surrogate
  CHECK_THAT(load_error("task: \xc3"), test::contains_text("binary"));
  CHECK(load_text("\xef\xbb\xbftask: listops\r\ndata:\r\n  root: gr\xc3\xbc\xc3\x9f\r\n").data.root ==
        "gr\xc3\xbc\xc3\x9f");
}

TEST_CASE("config hostile: tabs") {
  const std::string tab = "tab in the indentation; indent with blanks";
  CHECK_THAT(load_error("train:\n\tsteps: 5\n"), test::contains_text("x.yaml:2:1: " + tab));
  CHECK_THAT(load_error("train:\n  \tsteps: 5\n"), test::contains_text("x.yaml:2:3: " + tab));
  CHECK(load_text("train:\n\t# a comment\n \t\n  steps: 6000\t# after a tab\n").train.steps == 6000);
  CHECK(load_text("train:\n  steps:\t6000\n").train.steps == 6000);
}

TEST_CASE("config hostile: text that is no YAML map") {
  CHECK_THAT(load_error("just words\n"),
             test::contains_text("x.yaml:1:1: the file must hold 'key: value' lines"));
  CHECK_THAT(load_error("- a\n- b\n"), test::contains_text("the file must hold 'key: value' lines"));
  CHECK_THAT(load_error("train: {lr: 1\n"),
             test::contains_text("not valid YAML: ") && test::contains_text("check indentation, quotes"));
  CHECK_THAT(load_error("train:\n  lr: 'x\n"),
             test::contains_text("x.yaml:2:7: the quote that opens here is never closed"));
  CHECK_THAT(load_error("data: {root: \"x, y: 1}\n"),
             test::contains_text("x.yaml:1:14: the quote that opens here is never closed"));
  CHECK_THAT(load_error("train:\n  lr: 1\n seed: 2\n"),
             test::contains_text("x.yaml:3:") && test::contains_text("not valid YAML: "));
  CHECK_THAT(load_error("train: lr: 1\n"), test::contains_text("x.yaml:1:10: not valid YAML: "));
  CHECK_THAT(load_error("a: *nowhere\n"),
             test::contains_text("x.yaml:1:") && test::contains_text("not valid YAML: "));
  CHECK_THAT(load_error("task: listops\n---\ntask: listops\n"),
             test::contains_text("a second YAML document starts here; a file holds one"));
}

TEST_CASE("config hostile: aliases") {
  CHECK(load_text("train: {seed: &s 7, steps: 9000}\ndata: {max_length: *s}\n").data.max_length == 7);
  CHECK_THAT(load_error("train: {lr: &s -1, clip: *s}\n"),
             test::contains_text("x.yaml:1:13: train.lr: must be > 0") &&
                 test::contains_text("x.yaml:1:26: train.clip: must be between"));
  CHECK_THAT(load_error("train: &t\n  lr: *t\n"),
             test::contains_text("stands inside the value that it names"));
  std::string bomb = "a0: &a0 {x: 1}\n";
  for (int i = 1; i < 40; ++i) {
    bomb += concat("a", i, ": &a", i, " {");
    for (int j = 0; j < 9; ++j) bomb += concat(j == 0 ? "" : ", ", "k", j, ": *a", i - 1);
    bomb += "}\n";
  }
  CHECK_THAT(load_error(bomb), test::contains_text("x.yaml:9:") &&
                                   test::contains_text("more than 64 aliases (*name); write the values out"));
}

TEST_CASE("config hostile: depth and size") {
  const std::string deep = "nested more than 16 levels deep";
  CHECK_THAT(load_error("a: " + std::string(100000, '[')),
             test::contains_text("x.yaml:1:") && test::contains_text(deep));
  CHECK_THAT(load_error("a: " + std::string(200000, '{')), test::contains_text(deep));
  std::string block;
  for (int i = 0; i < 600; ++i) block += std::string(static_cast<size_t>(i), ' ') + "a:\n";
  CHECK_THAT(load_error(block), test::contains_text("x.yaml:17:") && test::contains_text(deep));
  std::string dashes = "a:\n";
  for (int i = 0; i < 10000; ++i) dashes += "- ";
  CHECK_THAT(load_error(dashes), test::contains_text(deep));
  CHECK_THAT(load_error("# " + std::string(300000, 'x')), test::contains_text("at most 262144 are accepted"));
  CHECK_THAT(load_error("task: " + std::string(200000, 'x')),
             test::contains_text("custom, got 'xxx") && test::contains_text("...'"));
  CHECK_THAT(load_error("data: {root: " + std::string(5000, 'x') + "}"),
             test::contains_text("must have at most 4096 bytes, got 5000"));
  CHECK_THAT(load_error(std::string(900, 'k') + ": 1"),
             test::contains_text("kkk...': unknown key of the top level; known are"));
}

TEST_CASE("config hostile: folders, missing files and include cycles") {
  Workspace workspace;
  const auto error = [](const std::string& file) {
    return error_of([&] { load_config({file, {}}, fake_kinds()); });
  };
  std::filesystem::create_directories("folder.yaml");
  CHECK_THAT(error("folder.yaml"),
             test::contains_text("--config folder.yaml: folder.yaml is a folder; name a YAML file"));
  CHECK_THAT(error("/dev/null"), test::contains_text("/dev/null is not a regular file"));
  CHECK_THAT(error(std::string(5000, 'x')), test::contains_text("file not found"));
  workspace.write("gone.yaml", "base: nowhere/x.yaml\n");
  CHECK_THAT(error("gone.yaml"),
             test::contains_text("gone.yaml:1:7: base: file not found; looked for nowhere/x.yaml, "));
  workspace.write("self.yaml", "task: listops\nbase: self.yaml\n");
  CHECK_THAT(error("self.yaml"),
             test::contains_text("self.yaml:2:7: base: include cycle self.yaml -> self.yaml; remove one"));
  workspace.write("a.yaml", "base: sub/b.yaml\n");
  workspace.write("sub/b.yaml", "base: ../c.yaml\n");
  workspace.write("c.yaml", "base: a.yaml\ntrain: {lr: -1}\n");
  CHECK_THAT(
      error("a.yaml"),
      test::contains_text("c.yaml:1:7: base: include cycle a.yaml -> sub/b.yaml -> c.yaml -> a.yaml") &&
          test::contains_text("c.yaml:2:13: train.lr: must be > 0"));
  workspace.write("list.yaml", "base: [a.yaml, b.yaml]\n");
  CHECK_THAT(error("list.yaml"),
             test::contains_text("list.yaml:1:7: base: must be text, got a list (the name of one file)"));
  workspace.write("none.yaml", "base:\n");
  CHECK_THAT(error("none.yaml"), test::contains_text("none.yaml:1:1: base: must be text, got no value"));
  for (int i = 0; i < 20; ++i) workspace.write(concat("n", i, ".yaml"), concat("base: n", i + 1, ".yaml\n"));
  CHECK_THAT(error("n0.yaml"),
             test::contains_text("n15.yaml:1:7: base: more than 16 files include each other"));
}

TEST_CASE("config hostile: damaged files load or are refused") {
  const std::string valid =
      "# comment\ntask: listops\nprotocol: &p default\ndata:\n  root: \"a \\x41b\" # x\n  generate_missing: "
      "true\n"
      "model: {layers: 2, dropout: 0.1,\n  attention: {kind: 'lotformer', pivots: 4, epsilon: 1e-1}}\n"
      "train:\n  ? lr\n  : 1e-4\n  precision: >-\n    fp32\n  steps: 9000\n";
  const std::string spice = "\t\n\r -:?[]{},#&*!|>'\"%@`~.<0aZ\x01\xc3\xbc\x7f\\=+";
  std::mt19937 random(20240607);
  const auto below = [&random](size_t bound) { return static_cast<size_t>(random()) % bound; };
  CHECK(load_text(valid).train.steps == 9000);
  Workspace workspace;
  const char* wanted = std::getenv("LOTFORMER_FUZZ_ROUNDS");  // more of them, by hand
  const int rounds = wanted == nullptr ? 4000 : std::atoi(wanted);
  int loaded = 0;
  int refused = 0;
  for (int round = 0; round < rounds; ++round) {
    std::string text = valid;
    for (size_t change = 1 + below(3); change > 0 && !text.empty(); --change) {
      const size_t at = below(text.size());
      switch (below(5)) {
        case 0:
          text[at] = static_cast<char>(below(256));
          break;
        case 1:
          text[at] = spice[below(spice.size())];
          break;
        case 2:
          text.insert(at, 1, spice[below(spice.size())]);
          break;
        case 3:
          text.erase(at, 1 + below(12));
          break;
        default:
          text.insert(at, text.substr(below(text.size()), 1 + below(40)));
          break;
      }
    }
    workspace.write("x.yaml", text);
    INFO("round " << round << "\n" << text);
    try {
      const Config config = load_config({"x.yaml", {}}, fake_kinds());
      // What loads must survive a round trip.
      workspace.write("y.yaml", print_config({"x.yaml", {}}, fake_kinds()));
      REQUIRE(config_hash(load_config({"y.yaml", {}}, fake_kinds())) == config_hash(config));
      ++loaded;
    } catch (const Error& error) {
      REQUIRE(error.kind() == ErrorKind::usage);
      REQUIRE(std::string(error.what()).find("x.yaml:") == 0);
      ++refused;
    }
  }
  CHECK(loaded > rounds / 100);
  CHECK(refused > rounds / 4);
}
