// SPDX-License-Identifier: MIT
// stats and show, as functions and through the program.
#include "lotformer/data/show.h"

#include <sys/wait.h>

#include <cstdlib>

#include "data/tasks/png.h"
#include "lotformer/data/listops_generator.h"
#include "lotformer/data/stats.h"
#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

std::vector<uint8_t> bytes_of(const std::string& text) {
  return {text.begin(), text.end()};
}

TEST_CASE("show: a ListOps tree with the value of each operator") {
  using Tokens = std::vector<std::string>;
  CHECK(listops_tree(Tokens{"[MAX", "3", "[MIN", "7", "2", "]", "9", "]"}) ==
        "[MAX  = 9\n  3\n  [MIN  = 2\n    7 2\n  ]\n  9\n]\n");
  CHECK(listops_tree(Tokens{"4"}) == "4\n");
  CHECK(listops_tree(Tokens{"[MAX", "3", "]", "]", "]"}) == "[MAX  = 3\n  3\n]\n]\n]\n");  // broken, no harm
  CHECK(listops_tree(Tokens{"[MAX", "3", "<unk>", "]", "<end>"}) == "[MAX\n  3 <unk>\n]\n<end>\n");
  CHECK(listops_tree(Tokens{"[MAX", "3", "[MIN", "7", "2"}) == "[MAX 3 [MIN 7 2\n");  // `tokenizer: alnum`
}

TEST_CASE("show: text keeps its characters and hides what a terminal would obey") {
  CHECK(printable(bytes_of("caf\xC3\xA9 \xE2\x82\xAC\n")) == "caf\xC3\xA9 \xE2\x82\xAC\n");
  CHECK(printable(bytes_of("\x1b[2J\x07\x7f")) == "\\x1b[2J\\x07\\x7f");
  CHECK(printable(bytes_of("\xC3")) == "\\xc3");                                      // cut character
  CHECK(printable(bytes_of("\xC0\xAF\xED\xA0\x80")) == "\\xc0\\xaf\\xed\\xa0\\x80");  // overlong, surrogate
  CHECK(printable(bytes_of("\xC2\x9B")) == "\\xc2\\x9b");                             // C1 control
}

TEST_CASE("show: pictures as half blocks, large ones reduced") {
  const std::vector<uint8_t> four = {255, 0, 0, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  CHECK(half_blocks(four, Ink::plain) == "\u2588\u2584 \u2580\n    \n");
  CHECK(contains(half_blocks(four, Ink::grey), "\x1b[38;2;255;255;255;48;2;255;255;255m\u2580"));
  const std::vector<uint8_t> large(256 * 256, 200);
  const std::string text = half_blocks(large, Ink::plain);
  CHECK(std::count(text.begin(), text.end(), '\n') == 64);
  CHECK(text.size() == 64 * (128 * 3 + 1));
}

struct Result {
  int code;
  std::string out, err;
};
Result run(const std::string& arguments) {
  TemporaryFolder folder;
  const fs::path out = folder.path() / "out", err = folder.path() / "err";
  const int status = std::system(concat("'", LOTFORMER_BIN_DIR, "/lotformer-data' ", arguments, " >'",
                                        out.string(), "' 2>'", err.string(), "'")
                                     .c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_text(out), read_text(err)};
}

TEST_CASE("lotformer-data: generate, check, stats and show for every task") {
  TemporaryFolder folder;
  const std::string root = " --root '" + folder.path().string() + "' ";
  struct Case {
    const char* task;
    const char* counts;
    const char* word;  // of what show prints
  };
  for (const Case& c :
       {Case{"listops", "--train 30 --val 5 --test 5 --min-length 5 --max-length 60 --max-depth 4", " = "},
        Case{"text", "--train 20 --test 10", "."},
        Case{"retrieval", "--train 20 --val 5 --test 5", "document 2"},
        Case{"image", "--train 45 --test 5", "\u2588"}, Case{"pathfinder32", "--train 40", "\u2588"},
        Case{"pathfinder64", "--train 8 --difficulty easy", "\u2588"}, Case{"pathx", "--train 8", "\u2588"},
        Case{"pathfinder256", "--train 8", "\u2588"}}) {
    const std::string target =
        concat(" --task ", c.task, root, contains(c.counts, "easy") ? "--difficulty easy " : "");
    const std::string counts = contains(c.counts, "easy") ? "--train 8" : c.counts;
    const Result made = run("generate --json" + target + counts);
    INFO(c.task << made.err);
    CHECK(made.code == 0);
    const std::string origin = "synthetic";
    if (std::string(c.task) != "listops") CHECK(Json::parse(made.out)["data_origin"] == "synthetic");
    const Json checked = Json::parse(run("check --json" + target).out);
    CHECK(checked["data_origin"] == origin);
    const Json train = checked["splits"]["train"];
    for (const char* member :
         {"examples", "classes", "tokens", "length_quartiles", "cut_examples", "fingerprint"})
      CHECK(train.contains(member));
    const Json stats = Json::parse(run("stats --json --split train" + target).out);
    CHECK(stats["splits"].size() == 1);
    CHECK(stats["splits"]["train"]["examples"] == train["examples"]);
    int64_t sequences = 0;
    for (const Json& bin : stats["splits"]["train"]["lengths"]) sequences += bin["sequences"].get<int64_t>();
    CHECK(sequences == train["examples"].get<int64_t>() * (std::string(c.task) == "retrieval" ? 2 : 1));
    CHECK(contains(run("stats" + target).out, "data origin: " + origin));
    const Result shown = run("show --split test" + target);
    CHECK(shown.code == 0);
    CHECK(contains(shown.out, "data origin " + origin));
    CHECK(contains(shown.out, c.word));
    const Json example = Json::parse(run("show --json --row 1" + target).out);
    CHECK(example["row"] == 1);
    CHECK(example["sequences"][0]["length"] == example["sequences"][0]["ids"].size());
  }
}

/// First row of a split as `show` prints it, and the two most frequent tokens of the training split.
struct Printed {
  std::string text, shown, top, second;
};
Printed printed(const fs::path& root, const std::string& task, const std::string& split,
                const std::string& options) {
  const std::string target = " --task " + task + " --root '" + root.string() + "' " + options;
  const Json example = Json::parse(run("show --json --split " + split + target).out);
  const Json stats = Json::parse(run("stats --json --split train" + target).out);
  return {example["sequences"][0]["text"], run("show --split " + split + target).out,
          stats["splits"]["train"]["top_tokens"][0]["token"],
          stats["splits"]["train"]["top_tokens"][1]["token"]};
}

TEST_CASE("lotformer-data: show and stats print by the vocabulary that was loaded") {
  TemporaryFolder folder;
  small_listops(folder.path());  // first validation row: [MAX 3 4 ]; most frequent in the training file: ]
  const auto expression = [&](const std::string& options) {
    return printed(folder.path(), "listops", "val", options);
  };
  CHECK(expression("").text == "[MAX 3 4 ]");
  CHECK(contains(expression("").shown, "[MAX  = 4\n  3 4\n]\n"));
  CHECK(expression("--set data.tokenizer=alnum").text == "[MAX 3 4");
  CHECK(contains(expression("--set data.tokenizer=alnum").shown, "\n[MAX 3 4\n"));
  CHECK(expression("--set data.append_eos=true").text == "[MAX 3 4 ] <end>");
  const Printed s4 = expression("--set data.vocab=s4");
  CHECK(s4.text == "[MAX 3 4 ] <end>");
  CHECK(contains(s4.shown, "[MAX  = 4\n  3 4\n]\n<end>\n"));
  CHECK(s4.top == "<end>");  // two of either in the training file, in the order of their ids
  CHECK(s4.second == "]");

  const std::string review = "caf\xC3\xA9 \xC3\xA9\xC3\xA9";
  for (const char* part : {"train/neg", "train/pos", "test/neg", "test/pos"}) {
    for (int id = 0; id < 20; ++id)
      write_text(folder.path() / "aclImdb" / part / concat(id, contains(part, "neg") ? "_2.txt" : "_8.txt"),
                 review);
  }
  const Printed bytes = printed(folder.path(), "text", "train", "");
  CHECK(bytes.text == review);
  CHECK(bytes.top == "0xa9");
  const Printed characters = printed(folder.path(), "text", "train", "--set data.tokenizer=char");
  CHECK(characters.text == review + "<end>");
  CHECK(contains(characters.shown, review + "<end>\n"));
  CHECK(characters.top == "'\xC3\xA9'");
}

TEST_CASE("lotformer-data show: a picture as PNG, and what cannot be shown") {
  TemporaryFolder folder;
  const std::string root = " --root '" + folder.path().string() + "' ";
  ImageParameters image;
  image.train = 45;
  image.val = image.test = 5;
  generate_image(folder.path(), image);
  generate_listops(folder.path(), small_parameters());
  const fs::path png = folder.path() / "picture.png";
  CHECK(run("show --task image --row 3" + root + "--png '" + png.string() + "'").code == 0);
  std::vector<uint8_t> pixels(1024);
  CHECK(decode_grey_png(read_text(png), 32, pixels) == "");
  const Dataset train = open_task("image", options_at(folder.path()))->open(Split::train);
  const auto bytes = train.bytes(3);
  CHECK(std::equal(bytes.begin(), bytes.end(), pixels.begin()));
  CHECK(run("show --task listops" + root + "--png x.png").code == 2);
  CHECK(run("show --task listops --root /nonexistent" + root).code ==
        0);  // the last one counts, as in every program
  const Result row = run("show --task image --split val --row 5" + root);
  CHECK(row.code == 2);
  CHECK(contains(row.err, "--row must lie in 0..4"));
  CHECK(run("show --task image --split dev" + root).code == 2);
  CHECK(run("stats --task text" + root).code == 3);
  CHECK(run("show --task image --png /nonexistent/x.png" + root).code == 5);
}

}  // namespace
}  // namespace lotformer::data::test
