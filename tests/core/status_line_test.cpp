// SPDX-License-Identifier: MIT
#include "lotformer/core/status_line.h"

#include "support/catch.h"

namespace lotformer {
namespace {

TEST_CASE("status line: whole fields from the front, as many as fit") {
  const std::vector<std::string> fields = {"ETA 12m", "step 20/40", "loss 0.6837", "peak 395 MiB"};
  CHECK(fit_fields(fields, 200) == "ETA 12m  step 20/40  loss 0.6837  peak 395 MiB");
  CHECK(fit_fields(fields, 46) == "ETA 12m  step 20/40  loss 0.6837  peak 395 MiB");
  CHECK(fit_fields(fields, 45) == "ETA 12m  step 20/40  loss 0.6837");
  CHECK(fit_fields(fields, 19) == "ETA 12m  step 20/40");
  CHECK(fit_fields(fields, 3) == "ETA 12m");
  CHECK(fit_fields({}, 10).empty());
}

TEST_CASE("status line: a bar is full at the end and not before it begins") {
  CHECK(progress_bar(0, 10) == "[----------]");
  CHECK(progress_bar(0.5, 10) == "[#####-----]");
  CHECK(progress_bar(1, 10) == "[##########]");
  CHECK(progress_bar(7, 4) == "[####]");
}

}  // namespace
}  // namespace lotformer
