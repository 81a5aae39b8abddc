// SPDX-License-Identifier: MIT
// ListOps data sets by the algorithm of the benchmark's authors (Nangia and Bowman 2018; Tay et al. 2021 for
// the lengths), with random numbers of our own: equal parameters give equal bytes on every platform.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "lotformer/core/json.h"

namespace lotformer::data {

/// Parameters of a generated set; the defaults are those of the official one.
struct ListopsParameters {
  uint64_t seed = 0;
  /// Rows of each split.
  int64_t train = 96000;
  int64_t val = 2000;
  int64_t test = 2000;
  /// Accepted lengths: min_length < length < max_length, in tokens without parentheses.
  int64_t min_length = 500;
  int64_t max_length = 2000;
  /// The root has depth 1; at max_depth stands always a digit.
  int64_t max_depth = 10;
  /// Arguments of an operator: uniform 2..max_args.
  int64_t max_args = 10;

  bool operator==(const ListopsParameters&) const = default;
};

/// Parameters as members of the provenance record, in the order of the struct.
Json to_json(const ListopsParameters& parameters);
/// Error(data) that names `where` for a missing or mistyped member.
ListopsParameters listops_parameters_from_json(const Json& json, const std::string& where);
/// Whether a set of these parameters is a sample of the official set's distribution, whatever its size and
/// seed.
bool has_official_distribution(ListopsParameters parameters);
/// One sentence on the first parameter that differs ("seed is 7, wanted 0"), or "" when all are equal.
std::string first_difference(const ListopsParameters& found, const ListopsParameters& wanted);

struct ListopsGeneration {
  /// The task's folder, ROOT/listops-1000 unless the set was there already.
  std::filesystem::path directory;
  /// A whole set with the same parameters was found; nothing was written.
  bool already_there = false;
  /// Trees drawn, accepted or not (0 when already there).
  int64_t candidates = 0;
  int64_t rows = 0;
  /// Of the three TSV files.
  int64_t bytes = 0;
};
Json to_json(const ListopsGeneration& generation);
/// One line for people: where, how many rows, how large.
std::string describe(const ListopsGeneration& generation);

/// Makes ROOT/listops-1000/basic_{train,val,test}.tsv and SYNTHETIC.json. The folder appears whole or not at
/// all; a second process waits for the first. Error(usage): parameters that are out of range or that no set
/// can satisfy. Error(data): the folder holds other data. Error(disk): not enough space, write failure.
ListopsGeneration generate_listops(const std::filesystem::path& root, const ListopsParameters& parameters);

}  // namespace lotformer::data
