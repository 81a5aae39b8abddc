// SPDX-License-Identifier: MIT
// The learning tests that take a minute or two: the smoke configurations of image and Pathfinder.
#include "cli/learn.h"

using namespace lotformer;
using namespace lotformer::test;

TEST_CASE("LOTFormer sees something in made-up gratings", "[cli]") {
  const Json results = learn(
      {"lra/smoke/image.yaml", {"--task", "image", "--train", "4500", "--val", "500", "--test", "500"}, {}});
  UNSCOPED_INFO("test accuracy " << test_accuracy(results));
  // Chance is 10 %; the run reached 49 % when this was written (standard error of 500 examples at most 2.2 points). Brightness alone
  // tells 46 %.
  CHECK(test_accuracy(results) > 0.1 + 0.15);
}

TEST_CASE("softmax attention reads the distance of two discs in easy Pathfinder", "[cli]") {
  const Json results = learn({"lra/smoke/pathfinder.yaml",
                              {"--task", "pathfinder32", "--difficulty", "easy", "--train", "16000"},
                              {"model.attention.kind=softmax"}});
  UNSCOPED_INFO("test accuracy " << test_accuracy(results));
  // Chance is 50 %; the run reached 60 % when this was written (standard error of 2,000 examples 1.1 points). Discs far apart are mostly on
  // one contour: that alone tells 61 %, and it is what minutes on two cores are enough for.
  CHECK(test_accuracy(results) > 0.5 + 0.04);
}
