// SPDX-License-Identifier: MIT
// The recorded configuration of a run as flat text, and which of its keys make no other experiment.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "lotformer/core/json.h"

namespace lotformer::report {

/// "model.dim" -> "64", of run.json, else of config.yaml (runs of an earlier build). What cannot be read is
/// told in `notes`.
std::map<std::string, std::string> read_config(const std::filesystem::path& folder, const Json& mark,
                                               std::vector<std::string>& notes);

/// Keys that say how a run is carried out (FieldInfo::bookkeeping), and train.seed, which tells repetitions
/// of one experiment apart.
const std::set<std::string>& keys_of_no_experiment();

}  // namespace lotformer::report
