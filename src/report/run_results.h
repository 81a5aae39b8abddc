// SPDX-License-Identifier: MIT
// What results.json and run.json say of a run, and what a number must not be read without.
#pragma once

#include "run.h"

namespace lotformer::report {

/// A number that may be absent or null: then NaN. A window without a finite loss has none, and 0 would be a
/// lie.
double number_of(const Json& object, const char* key);

/// Null where there is none.
Json member(const Json& object, const char* key);

/// Nothing without a finite accuracy.
std::optional<Score> score_of(const Json& object);

/// Names, origin of the data, device: of results.json, and of run.json from the first moment on.
void read_description(Run& run, const Json& about);

/// Of the splits by name.
void read_fingerprints(Run& run, const Json& fingerprints);

/// The content of results.json; null: there is none, or none that is JSON.
void read_results(Run& run, const Json& results);

}  // namespace lotformer::report
