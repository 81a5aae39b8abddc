// SPDX-License-Identifier: MIT
// The worked example of docs/adding-a-task.md: has a word of zeros and ones an odd number of ones?
#include "example_task.h"

#include <algorithm>

#include "data/tasks/lines_task.h"
#include "lotformer/core/text.h"

namespace lotformer::data {
namespace {

constexpr TaskLength kLength = {.own = 64};

class ParityTask final : public LinesTask {
 public:
  explicit ParityTask(const DataOptions& options)
      : LinesTask(options,
                  {.layout = {{"parity"}, {"train.txt", "val.txt", "test.txt"}},
                   .files = {"train.txt", "val.txt", "test.txt"},
                   .advice = "a line is a word of 0 and 1",
                   .variant = "parity",
                   .cut = kLength.longest(options)},
                  "parity") {}
  std::string name() const override { return "parity"; }
  std::vector<std::string> class_names() const override { return {"even", "odd"}; }
  Vocabulary vocabulary() const override { return {Vocabulary::Kind::text, {"<pad>", "0", "1"}}; }

 private:
  void read(const Line& line, Split /*split*/, Row& row) const override {
    for (const char digit : line.text) {
      if (digit != '0' && digit != '1') line.fail(concat(quoted(line.text), " is not a word of 0 and 1"));
      row.tokens[0].push_back(digit == '1' ? 1 : 0);
    }
    row.label = static_cast<int32_t>(std::count(line.text.begin(), line.text.end(), '1') % 2);
  }
};

std::unique_ptr<Task> open_parity(const DataOptions& options) {
  return std::make_unique<ParityTask>(options);
}

}  // namespace

TaskSpec parity_spec() {
  return {.name = "parity", .length = kLength, .open = &open_parity};
}

}  // namespace lotformer::data
