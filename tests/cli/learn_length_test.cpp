// SPDX-License-Identifier: MIT
// Does the default learn at length? Short ListOps hides what uniform marginals and mean pooling cannot do
// (docs/studies/learning.md): these train lra/listops.yaml as it is on long rows until it has left the most
// frequent class behind.
#include "cli/learn.h"

using namespace lotformer;
using namespace lotformer::test;

namespace {

LearningRun long_rows(const std::string& train_rows, const std::string& shortest, const std::string& longest,
                      const std::string& steps) {
  return {"lra/listops.yaml",
          {"--task", "listops", "--seed", "5", "--train", train_rows, "--val", "500", "--test", "1000",
           "--min-length", shortest, "--max-length", longest},
          {"data.generate_missing=false", "train.steps=" + steps, "train.warmup_steps=200",
           "train.eval_every=" + steps, "train.checkpoint_every=0"}};
}

/// The root operator alone tells about twice as much as the most frequent class, with nothing in between to
/// be learned at length: half of the way is far from both. Standard error of 1,000 examples: 1.5 points.
void check_left_plateau(const Learned& learned) {
  UNSCOPED_INFO(describe(learned));
  const double majority = trivial_called(learned.trivial, "most frequent class").accuracy,
               root = trivial_called(learned.trivial, "first token").accuracy;
  REQUIRE(root > majority + 0.12);
  CHECK(learned.accuracy > (majority + root) / 2);
}

}  // namespace

TEST_CASE("the default of ListOps leaves the most frequent class on rows of 200 to 500 tokens",
          "[cli][length]") {
  check_left_plateau(learn(long_rows("16000", "200", "500", "400")));
}

TEST_CASE("the default of ListOps leaves the most frequent class at official size", "[.long]") {
  check_left_plateau(learn(long_rows("20000", "500", "2000", "600")));
}
