// SPDX-License-Identifier: MIT
// Tokenisers, vocabularies, cuts and end tokens; references and attributes.
#include <algorithm>

#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

/// Options with one thing changed.
DataOptions with(const fs::path& root, const std::function<void(DataOptions&)>& change) {
  DataOptions options;
  options.root = root;
  change(options);
  return options;
}

struct Encoded {
  std::vector<int> ids;
  int64_t vocab, max_length, cut;
};

Encoded first_row(const fs::path& root, const std::function<void(DataOptions&)>& change) {
  const auto task = open_task("listops", with(root, change));
  const Dataset dataset = task->open(Split::val);
  return {ids(dataset, 0), task->vocab_size(), task->max_length(), dataset.cut_examples()};
}

TEST_CASE("listops options: ids, vocabulary and length of each encoding") {
  TemporaryFolder folder;
  small_listops(folder.path());  // first row: [MAX 3 4 ]
  using Ids = std::vector<int>;

  const Encoded plain = first_row(folder.path(), [](DataOptions&) {});
  CHECK(plain.ids == Ids{2, 9, 10, 5});
  CHECK(plain.vocab == 17);
  CHECK(plain.max_length == 2000);

  const Encoded alnum =
      first_row(folder.path(), [](DataOptions& o) { o.tokenizer = "alnum", o.pad_to = 2048; });
  CHECK(alnum.ids == Ids{2, 8, 9});  // no close bracket, digits one lower
  CHECK(alnum.vocab == 16);
  CHECK(alnum.max_length == 2048);

  // Counts in the training file: ] 2, then [MAX [SM 2.. 3 4 5 7 once each; ties by bytes: digits before X
  // before [.
  const Encoded s4 = first_row(folder.path(), [](DataOptions& o) { o.vocab = "s4"; });
  CHECK(s4.ids == Ids{8, 4, 5, 3, 2});
  CHECK(s4.vocab == 18);
  CHECK(s4.max_length == 2048);

  const Encoded eos = first_row(folder.path(), [](DataOptions& o) { o.append_eos = true; });
  CHECK(eos.ids == Ids{2, 9, 10, 5, 17});
  CHECK(eos.vocab == 18);
  CHECK(eos.max_length == 2000);

  const Encoded alnum_eos =
      first_row(folder.path(), [](DataOptions& o) { o.tokenizer = "alnum", o.append_eos = true; });
  CHECK(alnum_eos.ids == Ids{2, 8, 9, 16});
  CHECK(alnum_eos.vocab == 17);
}

TEST_CASE("listops options: cut rows are counted and logged") {
  TemporaryFolder folder;
  small_listops(folder.path());
  LogObserver log;
  const Encoded cut = first_row(folder.path(), [](DataOptions& o) { o.max_length = 3; });
  CHECK(cut.ids == std::vector<int>{2, 9, 10});
  CHECK(cut.cut == 2);
  CHECK(cut.max_length == 3);
  CHECK(log.has("listops val: 2 of 2 rows are longer than 3 tokens and were cut"));
  CHECK(first_row(folder.path(), [](DataOptions& o) { o.max_length = 4; }).cut == 0);
  const Encoded eos = first_row(folder.path(), [](DataOptions& o) { o.max_length = 4, o.append_eos = true; });
  CHECK(eos.ids == std::vector<int>{2, 9, 10, 17});  // the end token takes one of the four places
  CHECK(eos.cut == 2);
  CHECK(first_row(folder.path(), [](DataOptions& o) { o.tokenizer = "alnum", o.max_length = 3; }).cut == 0);
}

TEST_CASE("listops options: what does not exist or contradicts itself") {
  TemporaryFolder folder;
  small_listops(folder.path());
  const auto refusal = [&](const std::function<void(DataOptions&)>& change) {
    return error_of([&] { open_task("listops", with(folder.path(), change)); });
  };
  CHECK(contains(refusal([](DataOptions& o) { o.tokenizer = "alnm"; }),
                 "2: data.tokenizer: tokenizer alnm is no value of listops"));
  CHECK(contains(refusal([](DataOptions& o) { o.tokenizer = "alnm"; }), "did you mean 'alnum'?"));
  CHECK(contains(refusal([](DataOptions& o) { o.tokenizer = "char"; }), "use default or alnum"));
  CHECK(contains(refusal([](DataOptions& o) { o.vocab = "x"; }), "2: data.vocab"));
  CHECK(contains(refusal([](DataOptions& o) { o.strict_counts = false; }), "2: data.strict_counts"));
  CHECK(contains(refusal([](DataOptions& o) { o.vocab = "s4", o.tokenizer = "alnum"; }),
                 "2: data.vocab: vocab s4 and tokenizer alnum belong to different harnesses"));
  CHECK(contains(refusal([](DataOptions& o) { o.pad_to = 1999; }),
                 "2: data.pad_to: pad_to 1999 is less than the longest sequence, 2000"));
  CHECK(contains(refusal([](DataOptions& o) { o.max_length = -1; }), "2: data.max_length"));
  CHECK(contains(refusal([](DataOptions& o) { o.max_length = 1, o.append_eos = true; }),
                 "2: data.max_length: max_length 1 leaves no token beside the end token"));
  CHECK(refusal([](DataOptions& o) { o.max_length = 100, o.pad_to = 100; }) == "no error");
  CHECK(contains(error_of([] { open_task("listop", {}); }),
                 "2: task: there is no 'listop'; known: listops, text, retrieval, image, pathfinder32, "));
  CHECK(contains(error_of([] { open_task("listop", {}); }), "; did you mean 'listops'?"));
}

TEST_CASE(
    "listops references: measured on the training split when the distribution is not the official one") {
  TemporaryFolder folder;
  // Root [MAX: labels 4 4 9; root [MIN: labels 1 1 4; a lone digit: 2.
  small_listops(folder.path(),
                "Source\tTarget\n( ( ( [MAX 3 ) 4 ) ] )\t4\n( ( [MAX 4 ) ] )\t4\n( ( [MAX 9 ) ] )\t9\n"
                "( ( [MIN 1 ) ] )\t1\n( ( ( [MIN 1 ) 1 ) ] )\t1\n( ( [MIN 4 ) ] )\t4\n2\t2\n");
  for (const std::string tokenizer : {"default", "alnum"}) {
    const auto task =
        open_task("listops", with(folder.path(), [&](DataOptions& o) { o.tokenizer = tokenizer; }));
    const auto references = task->references();
    REQUIRE(references.size() == 2);
    CHECK(references[0].name == "always 4");
    CHECK(references[0].accuracy == Catch::Approx(3.0 / 7.0));
    CHECK(references[1].name == "root operator alone");
    CHECK(references[1].accuracy == Catch::Approx(5.0 / 7.0));
    CHECK(references[0].source == "measured on the training split");
    CHECK(references[1].source == "measured on the training split");
  }
}

TEST_CASE("listops attributes: bins cover every row") {
  TemporaryFolder folder;
  small_listops(folder.path());
  const auto task = open_task("listops", with(folder.path(), [](DataOptions& o) { o.max_length = 2; }));
  const Dataset dataset = task->open(Split::val);
  const auto attributes = task->attributes();
  REQUIRE(attributes.size() == 2);
  CHECK(attributes[0].name == "length");
  CHECK(attributes[0].value(dataset, 0) == 4);  // of the whole expression, though the row was cut
  CHECK(attributes[1].name == "depth");
  CHECK(attributes[1].value(dataset, 0) == 2);
  CHECK(task->metrics() == std::vector<std::string>{"accuracy", "loss", "recall by class",
                                                    "accuracy by length", "accuracy by depth"});
  for (const Attribute& attribute : attributes) {
    CHECK(std::is_sorted(attribute.edges.begin(), attribute.edges.end()));
    CHECK(attribute.edges.front() <= 1);
    CHECK(attribute.edges.back() > 1'000'000'000);
  }
  CHECK(task->class_names() == std::vector<std::string>{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"});
  CHECK(task->num_classes() == 10);
  CHECK(task->sequences() == 1);
}

}  // namespace
}  // namespace lotformer::data::test
