// SPDX-License-Identifier: MIT
// Stands in for golden_model.cpp until the model and the trainer exist.
#include "suites/golden.h"

namespace lotformer::test {

void run_model_case(const GoldenCase& golden, Report& report) {
  report.skip(golden, "model: not built yet");
}

void run_schedule_case(const GoldenCase& golden, Report& report) {
  report.skip(golden, "schedule: not built yet");
}

}  // namespace lotformer::test
