// SPDX-License-Identifier: MIT
// Reviews and pairs of documents against section 12 of the data contract.
#include <cmath>
#include <map>
#include <set>
#include <sstream>

#include "support.h"
#include "support/catch.h"

namespace lotformer::data::test {
namespace {

struct Review {
  int label = 0;
  std::string text;
};

std::vector<Review> reviews(const fs::path& split) {
  std::vector<Review> result;
  for (const char* name : {"neg", "pos"}) {
    for (const auto& entry : fs::directory_iterator(split / name)) {
      const std::string file = entry.path().filename().string();
      const int rating = std::stoi(file.substr(file.find('_') + 1));
      const bool positive = std::string(name) == "pos";
      CHECK((positive ? rating >= 7 && rating <= 10 : rating >= 1 && rating <= 4));
      result.push_back({positive ? 1 : 0, read_text(entry.path())});
    }
  }
  return result;
}

/// Share of the words that hold one of the letters, and where the first of them begins (share of the bytes).
struct Signal {
  double rate = 0, first = 1;
};
Signal signal_of(const std::string& text, const std::string& letters) {
  std::istringstream words(text);
  std::string word;
  double all = 0, hits = 0;
  Signal result;
  while (words >> word) {
    ++all;
    std::string lower = word;
    for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (lower.find_first_of(letters) == std::string::npos) continue;
    if (hits == 0) result.first = static_cast<double>(text.find(word)) / static_cast<double>(text.size());
    ++hits;
  }
  result.rate = hits / all;
  return result;
}

const std::string kLetters[2] = {"kqz", "vwy"};

TEST_CASE("text: lengths are log-normal, classes even, 2 to 8 % of the words tell") {
  TemporaryFolder folder;
  TextParameters p;
  p.train = 3000;
  p.test = 100;
  generate_text(folder.path(), p);
  const auto all = reviews(folder.path() / "aclImdb/train");
  REQUIRE(all.size() == 3000);
  std::vector<double> lengths;
  double rate = 0, positive = 0, markup = 0, foreign = 0;
  for (const Review& review : all) {
    lengths.push_back(static_cast<double>(review.text.size()));
    const auto label = static_cast<size_t>(review.label);
    const Signal own = signal_of(review.text, kLetters[label]);
    CHECK(own.rate > 0);
    CHECK(signal_of(review.text, kLetters[1 - label]).rate == 0);
    rate += own.rate / 3000;
    positive += review.label;
    markup += contains(review.text, "<br /><br />") ? 1 : 0;
    foreign += contains(review.text, "\xC3\xA9") ? 1 : 0;
  }
  std::sort(lengths.begin(), lengths.end());
  CHECK(lengths[1500] == Catch::Approx(1000).margin(60));
  // Quartiles of a log-normal: median * exp(-+0.6745 * 0.65).
  CHECK(lengths[750] == Catch::Approx(645).margin(50));
  CHECK(lengths[2250] == Catch::Approx(1550).margin(100));
  CHECK(lengths.front() >= 30);
  CHECK(lengths.back() <= 14000);
  CHECK(rate == Catch::Approx(0.05).margin(0.005));
  CHECK(positive == 1500);
  CHECK(markup > 1000);
  CHECK(foreign > 1000);
}

TEST_CASE("text: in the long-range variant the last fifth tells, within what readers keep") {
  TemporaryFolder folder;
  TextParameters p;
  p.train = 200;
  p.test = 2;
  p.long_range = true;
  generate_text(folder.path(), p);
  for (const Review& review : reviews(folder.path() / "aclImdb/train")) {
    CHECK(review.text.size() <= 4000);
    const Signal signal = signal_of(review.text, kLetters[review.label]);
    CHECK(signal.rate > 0);
    CHECK(signal.first >= 0.79);
  }
}

struct Pair {
  int label = 0;
  std::string ids[2], texts[2];
};

std::vector<Pair> read_pairs(const fs::path& file) {
  std::vector<Pair> result;
  std::istringstream lines(read_text(file));
  std::string line, label;
  while (std::getline(lines, line)) {
    std::istringstream columns(line);
    Pair pair;
    std::getline(columns, label, '\t');
    for (std::string& id : pair.ids) std::getline(columns, id, '\t');
    for (std::string& text : pair.texts) std::getline(columns, text, '\t');
    CHECK((label == "0.0" || label == "1.0"));
    CHECK(std::count(line.begin(), line.end(), '\t') == 4);
    pair.label = label == "1.0" ? 1 : 0;
    result.push_back(pair);
  }
  return result;
}

/// Words of five letters and more that are in no lexicon: the rare word has four syllables.
std::set<std::string> rare_words(const std::string& text) {
  std::set<std::string> result;
  std::istringstream words(text);
  std::string word;
  while (words >> word) {
    std::string plain;
    for (const char c : word) {
      if (std::isalpha(static_cast<unsigned char>(c)) != 0)
        plain += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    if (plain.size() >= 8) result.insert(plain);
  }
  return result;
}

/// The topic by the letters of its words.
size_t main_topic(const std::string& text) {
  constexpr const char* kTopics[] = {"bg", "ck", "fv", "jw", "pq", "xz"};
  std::array<int, 6> hits{};
  for (size_t topic = 0; topic < hits.size(); ++topic) {
    for (const char c : text) hits[topic] += std::string(kTopics[topic]).find(c) != std::string::npos ? 1 : 0;
  }
  return static_cast<size_t>(std::max_element(hits.begin(), hits.end()) - hits.begin());
}

TEST_CASE("retrieval: linked pairs share topic and rare word, others neither; documents recur") {
  TemporaryFolder folder;
  RetrievalParameters p;
  p.train = 600;
  p.val = p.test = 60;
  generate_retrieval(folder.path(), p);
  std::map<std::string, std::string> documents;
  std::array<std::set<std::string>, 3> ids;
  double linked = 0, uses = 0;
  size_t split = 0;
  for (const char* name : {"train", "eval", "test"}) {
    const auto pairs = read_pairs(folder.path() / "tsv_data" / concat("new_aan_pairs.", name, ".tsv"));
    REQUIRE(pairs.size() == (split == 0 ? 600 : 60));
    for (const Pair& pair : pairs) {
      linked += pair.label;
      for (size_t i = 0; i < 2; ++i) {
        CHECK((pair.texts[i].size() >= 1000 && pair.texts[i].size() <= 12000));
        CHECK(documents.emplace(pair.ids[i], pair.texts[i]).first->second == pair.texts[i]);
        ids[split].insert(pair.ids[i]);
        ++uses;
      }
      CHECK(pair.ids[0] != pair.ids[1]);
      CHECK((main_topic(pair.texts[0]) == main_topic(pair.texts[1])) == (pair.label == 1));
      const auto first = rare_words(pair.texts[0]), second = rare_words(pair.texts[1]);
      const bool shared = std::any_of(first.begin(), first.end(), [&](const std::string& word) {
        return std::any_of(second.begin(), second.end(),
                           [&](const std::string& other) { return word == other; });
      });
      CHECK(shared == (pair.label == 1));
    }
    ++split;
  }
  CHECK(linked / 720 == Catch::Approx(0.5).margin(0.08));
  CHECK(uses / static_cast<double>(documents.size()) > 5);
  CHECK(ids[0].size() + ids[1].size() + ids[2].size() == documents.size());  // none in two splits
}

TEST_CASE("text and retrieval are read back") {
  TemporaryFolder folder;
  TextParameters text;
  text.train = 20;
  text.test = 10;
  generate_text(folder.path(), text);
  RetrievalParameters retrieval;
  retrieval.train = 30;
  retrieval.val = 5;
  retrieval.test = 6;
  generate_retrieval(folder.path(), retrieval);
  const auto reviews = open_task("text", options_at(folder.path()));
  CHECK(reviews->data_origin() == "synthetic");
  CHECK(reviews->open(Split::train).size() == 20);
  CHECK(reviews->open(Split::test).size() == 10);
  const auto pairs = open_task("retrieval", options_at(folder.path()));
  CHECK(pairs->data_origin() == "synthetic");
  CHECK(pairs->open(Split::train).size() == 30);
  CHECK(pairs->open(Split::val).size() == 5);
  CHECK(pairs->open(Split::test).sequences() == 2);
}

}  // namespace
}  // namespace lotformer::data::test
