// SPDX-License-Identifier: MIT
// Stand-ins for the data sets of the benchmark that cannot be made exactly: the official layout on disk,
// learnable, made up. Each carries SYNTHETIC.json, so that no result on it passes for one of the benchmark.
// Equal parameters give equal bytes on every platform, whatever the number of threads.
// All generators: Error(usage) for parameters out of range, Error(data) when the folder holds other data,
// Error(disk) when there is too little space or writing fails. A folder appears whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "lotformer/core/json.h"

namespace lotformer::data {

struct Generation {
  /// The task's folder.
  std::filesystem::path directory;
  /// A whole set with the same parameters was found; nothing was written.
  bool already_there = false;
  int64_t examples = 0;
  /// Of all files but SYNTHETIC.json.
  int64_t bytes = 0;
};
Json to_json(const Generation& generation);
/// One line for people: where, how many examples, how large.
std::string describe(const Generation& generation);

/// Reviews of made-up words. The label shows in 2 to 8 % of the words, which come from one of two small
/// lexicons.
struct TextParameters {
  uint64_t seed = 0;
  /// Reviews, half of them of each class.
  int64_t train = 25000;
  int64_t test = 25000;
  /// Label words in the last fifth only.
  bool long_range = false;
};
/// ROOT/aclImdb/{train,test}/{neg,pos}/<id>_<rating>.txt
Generation generate_text(const std::filesystem::path& root, const TextParameters& parameters);

/// Pairs of documents: label 1 when they share their main topic and one rare word.
struct RetrievalParameters {
  uint64_t seed = 0;
  /// Pairs.
  int64_t train = 147086;
  int64_t val = 18090;
  int64_t test = 17437;
  /// Of a document.
  int64_t min_bytes = 1000;
  int64_t max_bytes = 12000;
};
/// ROOT/tsv_data/new_aan_pairs.{train,eval,test}.tsv
Generation generate_retrieval(const std::filesystem::path& root, const RetrievalParameters& parameters);

/// Coloured sinus gratings in noise; the class is their orientation.
struct ImageParameters {
  uint64_t seed = 0;
  int64_t train = 45000;
  /// Readers divide the five training files 9 : 1.
  int64_t val = 5000;
  int64_t test = 10000;
};
/// ROOT/cifar-10-batches-bin/{data_batch_1..5,test_batch}.bin, batches.meta.txt
Generation generate_image(const std::filesystem::path& root, const ImageParameters& parameters);

/// Two long dashed contours among short ones; label 1 when both discs lie on the same contour. After the
/// procedure of Linsley et al. 2018 and Kim et al. 2020 with the benchmark's settings (256: ours).
struct PathfinderParameters {
  uint64_t seed = 0;
  /// Pixels of an edge: 32, 64, 128 or 256.
  int64_t size = 32;
  /// Easy, intermediate, hard: contours of 6, 9, 14 dashes.
  std::string difficulty = "hard";
  int64_t train = 160000;
  /// Readers divide the whole 8 : 1 : 1.
  int64_t val = 20000;
  int64_t test = 20000;
};
/// ROOT/pathfinderN/{curv_baseline,curv_contour_length_9,curv_contour_length_14}/{imgs,metadata}
Generation generate_pathfinder(const std::filesystem::path& root, const PathfinderParameters& parameters);

}  // namespace lotformer::data
