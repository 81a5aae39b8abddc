// SPDX-License-Identifier: MIT
// lotformer-data as its users meet it: exit codes, one line on stderr, JSON alone on stdout.
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>

#include "lotformer/core/json.h"
#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

struct Result {
  int code;
  std::string out, err;
};

Result run(const std::string& arguments) {
  TemporaryFolder folder;
  const fs::path out = folder.path() / "out", err = folder.path() / "err";
  const std::string command = concat("'", LOTFORMER_BIN_DIR, "/lotformer-data' ", arguments, " >'",
                                     out.string(), "' 2>'", err.string(), "'");
  const int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_text(out), read_text(err)};
}

const std::string kSmall =
    " --train 30 --val 5 --test 5 --min-length 5 --max-length 60 --max-depth 4 --max-args 4";

bool is_one_line(const std::string& text) {
  return !text.empty() && text.back() == '\n' && std::count(text.begin(), text.end(), '\n') == 1;
}

TEST_CASE("lotformer-data: generate, find it again, check") {
  TemporaryFolder folder;
  const std::string root = " --root '" + folder.path().string() + "'";
  const Result made = run("generate --task listops" + root + kSmall);
  CHECK(made.code == 0);
  CHECK(made.err == "");
  CHECK(contains(made.out, "listops-1000: 40 rows"));
  CHECK(contains(run("generate --task listops" + root + kSmall).out, "there already"));
  const Result json = run("generate --json --task listops" + root + kSmall);
  CHECK(Json::parse(json.out)["already_there"] == true);

  const Result checked = run("check --task listops" + root);
  CHECK(checked.code == 0);
  CHECK(contains(checked.out, "train: 30 examples"));
  const Result summary = run("check --json --task listops" + root);
  CHECK(is_one_line(summary.out));
  CHECK(Json::parse(summary.out)["splits"]["val"]["examples"] == 5);

  const Result other = run("generate --task listops --seed 1" + root + kSmall);
  CHECK(other.code == 3);
  CHECK(is_one_line(other.err));
  CHECK(contains(other.err, "seed is 0, wanted 1"));

  write_text(folder.path() / "listops-1000/basic_val.tsv", kTwoRows);
  const Result broken = run("check --json --task listops" + root);
  CHECK(broken.code == 3);
  CHECK(broken.out == "");
  CHECK(is_one_line(broken.err));
  CHECK(broken.err.rfind("lotformer-data: error: listops-1000/basic_val.tsv: has ", 0) == 0);
}

TEST_CASE("lotformer-data: data of one's own by the configuration that is shipped") {
  TemporaryFolder folder;
  for (const char* name : {"train.tsv", "val.tsv", "test.tsv"})
    write_text(folder.path() / name, "0\tbad film\n1\tgood film\n");
  const std::string mine = concat("--config '", LOTFORMER_SOURCE_DIR,
                                  "/configs/custom.yaml' --set data.root='", folder.path().string(), "'");
  const Result checked = run("check --json " + mine);
  INFO(checked.err);
  REQUIRE(checked.code == 0);
  CHECK(Json::parse(checked.out)["data_origin"] == "custom");
  CHECK(contains(run("show --row 1 " + mine).out, "label 1, tokens 9, data origin custom\ngood film\n"));
  const Result ids = run("check --set data.tokenizer=ids " + mine);
  CHECK(ids.code == 3);
  CHECK(is_one_line(ids.err));
  CHECK(contains(ids.err, "train.tsv:1: id 'bad' is not a whole number from 0 to 255"));
  CHECK(run("generate --task custom --root '" + folder.path().string() + "'").code == 2);
}

TEST_CASE("lotformer-data: reads data as a configuration does") {
  TemporaryFolder folder;
  fs::copy(fs::path(LOTFORMER_TEST_DATA) / "fixtures", folder.path(), fs::copy_options::recursive);
  const std::string root = " --root '" + folder.path().string() + "' ";
  const auto json = [&](const std::string& arguments) {
    const Result result = run(arguments + " --json" + root);
    INFO(arguments << "\n" << result.err);
    REQUIRE(result.code == 0);
    return Json::parse(result.out);
  };
  // What the message advises can be done.
  const Result counted = run("check --task image" + root);
  CHECK(counted.code == 3);
  CHECK(contains(counted.err, "data.strict_counts=false takes any number"));
  const std::string image = "check --task image --set data.strict_counts=false";
  const Json grey = json(image), pil = json(image + " --set data.grey=pil");
  CHECK(grey["splits"]["train"]["examples"] == 225);
  CHECK(grey["splits"]["train"]["fingerprint"] != pil["splits"]["train"]["fingerprint"]);
  const Json order = json(image + " --set data.split=sequential");
  CHECK(order["splits"]["val"]["fingerprint"] != grey["splits"]["val"]["fingerprint"]);
  CHECK(order["splits"]["test"]["fingerprint"] == grey["splits"]["test"]["fingerprint"]);

  CHECK(json("check --task text --set data.val=holdout")["val_is_test"] == false);
  CHECK(json("check --task text")["val_is_test"] == true);
  CHECK(json("check --task listops --set data.tokenizer=alnum")["vocab_size"] == 16);
  CHECK(json("show --task listops --set data.max_length=3")["sequences"][0]["length"] == 3);
  CHECK(json("stats --task retrieval --set data.max_length=50")["splits"]["train"]["cut_examples"] > 0);

  // The last --set wins; the file is below it; its other sections are no matter.
  const fs::path file = folder.path() / "run.yaml";
  write_text(file,
             "task: listops\nprotocol: lotformer\ndata: {max_length: 40, pad_to: 64}\n"
             "model: {attention: {kind: softmax, whatever: 3}}\ntrain: {steps: -1}\n");
  const std::string configured = "check --config '" + file.string() + "'";
  CHECK(json(configured)["vocab_size"] == 16);
  CHECK(json(configured)["max_length"] == 64);
  CHECK(json(configured + " --set data.pad_to=70 --set data.pad_to=80")["max_length"] == 80);
  CHECK(json(configured + " --task text")["task"] == "text");
  // The key to blame is the one that was set, with the task that it does not fit.
  const Result other = run("check --task retrieval --set data.grey=pil" + root);
  CHECK(other.code == 2);
  CHECK(contains(other.err,
                 "--set data.grey=pil: data.grey: grey pil applies to image only, not to retrieval"));
  const Result wrong = run("check --task listops --set data.pad_ot=80" + root);
  CHECK(wrong.code == 2);
  CHECK(contains(wrong.err, "data.pad_ot"));
}

TEST_CASE("lotformer-data: usage errors are one line and exit 2") {
  for (const std::string arguments : {"",
                                      "frobnicate",
                                      "generate",
                                      "check",
                                      "generate --task txt",
                                      "generate --task text --val 5",
                                      "generate --task image --max-depth 3",
                                      "check --task listop",
                                      "generate --task listops --seed -1",
                                      "generate --task listops --train x",
                                      "generate --task listops --train 1e3",
                                      "generate --task listops --val -1",
                                      "generate --task listops --seed 18446744073709551616",
                                      "generate --task listops --train 18446744073709551615",
                                      "show --task listops --row 9223372036854775808",
                                      "generate --task listops --max-depth 2",
                                      "check --task listops --seed 1",
                                      "check --task listops --set train.steps=3",
                                      "check --set data.val=test",
                                      "check --config none.yaml",
                                      "generate --task text --set data.val=test",
                                      "generate --task listops --min-length 500 --max-length 501",
                                      "generate --task listops --root /dev/null"}) {
    const Result result = run(arguments);
    INFO(arguments << "\n" << result.err);
    CHECK(result.code == 2);
    CHECK(is_one_line(result.err));
    CHECK(result.out == "");
  }
}

TEST_CASE("lotformer-data: a number beyond the range is quoted as it was given") {
  for (const std::string arguments : {"show --task listops --row ", "generate --task listops --train "})
    CHECK(contains(run(arguments + "18446744073709551615").err,
                   "from 0 to 2^63 - 1, got 18446744073709551615"));
}

TEST_CASE("lotformer-data: bad data exit 3, an unwritable place exits 5, help exits 0") {
  CHECK(run("check --task listops --root /nonexistent").code == 3);
  const Result unwritable = run("generate --task listops --root /proc/none" + kSmall);
  CHECK(unwritable.code == 5);
  CHECK(is_one_line(unwritable.err));
  for (const std::string command : {"--help", "generate --help", "check --help"}) {
    const Result help = run(command);
    CHECK(help.code == 0);
    CHECK(contains(help.out, "Usage"));
  }
  CHECK(contains(run("generate --help").out, "(default 2000)"));
}

TEST_CASE("lotformer-data: a full disk is an error of its own and leaves no half set") {
  TemporaryFolder folder;
  const std::string tool = concat("'", LOTFORMER_BIN_DIR, "/lotformer-data' generate --task listops --root '",
                                  folder.path().string(),
                                  "' --train 3000 --val 5 --test 5 --min-length 50 2>/dev/null >/dev/null");
  const int status = std::system(("ulimit -f 64; " + tool).c_str());  // no file beyond 64 KiB
  CHECK(WEXITSTATUS(status) == 5);
  CHECK(!fs::exists(folder.path() / "listops-1000"));
  CHECK(!fs::exists(folder.path() / ".listops-1000.partial"));
}

}  // namespace
}  // namespace lotformer::data::test
