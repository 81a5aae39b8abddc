// SPDX-License-Identifier: MIT
// From a request to the parameters of each generator.
#include "data/generate/generators.h"

#include "lotformer/core/error.h"
#include "lotformer/core/text.h"
#include "lotformer/data/listops_generator.h"
#include "lotformer/data/synthetic_generator.h"

namespace lotformer::data {
namespace {

template <class Generation>
GeneratedSet made(const Generation& generation) {
  return {to_json(generation), describe(generation) + "\n"};
}

void take(const std::optional<int64_t>& given, int64_t& value) {
  if (given) value = *given;
}

GeneratedSet make_listops(const GenerateRequest& request) {
  ListopsParameters p;
  p.seed = request.seed;
  take(request.train, p.train);
  take(request.val, p.val);
  take(request.test, p.test);
  take(request.min_length, p.min_length);
  take(request.max_length, p.max_length);
  take(request.max_depth, p.max_depth);
  take(request.max_args, p.max_args);
  return made(generate_listops(request.root, p));
}

GeneratedSet make_text(const GenerateRequest& request) {
  TextParameters p;
  p.seed = request.seed;
  p.long_range = request.long_range;
  take(request.train, p.train);
  take(request.test, p.test);
  return made(generate_text(request.root, p));
}

GeneratedSet make_retrieval(const GenerateRequest& request) {
  RetrievalParameters p;
  p.seed = request.seed;
  take(request.train, p.train);
  take(request.val, p.val);
  take(request.test, p.test);
  take(request.min_bytes, p.min_bytes);
  take(request.max_bytes, p.max_bytes);
  return made(generate_retrieval(request.root, p));
}

GeneratedSet make_image(const GenerateRequest& request) {
  ImageParameters p;
  p.seed = request.seed;
  take(request.train, p.train);
  // As the five files are divided when they are read.
  p.val = request.val.value_or((p.train + 8) / 9);
  take(request.test, p.test);
  return made(generate_image(request.root, p));
}

template <int64_t size>
GeneratedSet make_pathfinder(const GenerateRequest& request) {
  PathfinderParameters p;
  p.seed = request.seed;
  p.size = size;
  p.difficulty = request.difficulty;
  take(request.train, p.train);
  p.val = request.val.value_or(p.train / 8);
  p.test = request.test.value_or(p.val);
  return made(generate_pathfinder(request.root, p));
}

}  // namespace

Generator listops_generator() {
  return {&make_listops, {"--val", "--min-length", "--max-length", "--max-depth", "--max-args"}};
}
Generator text_generator() {
  return {&make_text, {"--long-range"}};
}
Generator retrieval_generator() {
  return {&make_retrieval, {"--val", "--min-bytes", "--max-bytes"}};
}
Generator image_generator() {
  return {&make_image, {"--val"}};
}

Generator pathfinder_generator(int64_t size) {
  const std::vector<std::string_view> options = {"--val", "--difficulty"};
  switch (size) {
    case 32:
      return {&make_pathfinder<32>, options};
    case 64:
      return {&make_pathfinder<64>, options};
    case 128:
      return {&make_pathfinder<128>, options};
    case 256:
      return {&make_pathfinder<256>, options};
    default:
      throw Error(ErrorKind::internal, concat("pathfinder: no generator of size ", size));
  }
}

}  // namespace lotformer::data
