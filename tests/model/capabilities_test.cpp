// SPDX-License-Identifier: MIT
#include "lotformer/model/capabilities.h"

#include "lotformer/attention/capabilities/adaptive_rank.h"
#include "lotformer/attention/capabilities/plans.h"
#include "lotformer/attention/capabilities/solver.h"
// after torch
#include "support/catch.h"

using namespace lotformer;

TEST_CASE("layers of a model are found by what their attention can do", "[model]") {
  const std::vector<std::string> kinds = {"softmax", "lotformer", "sinkformer"};
  size_t next = 0;
  EncoderImpl encoder(EncoderOptions{.vocab_size = 5, .max_length = 8, .layers = 3},
                      [&](const AttentionShape& shape) {
                        const AttentionSpec& spec = find_attention(kinds[next++]);
                        return spec.build(*spec.options(), shape);
                      });
  const auto plans = layers_as<HasPlans>(encoder);
  const auto solvers = layers_as<HasSolver>(encoder);
  const auto ranks = layers_as<AdaptiveRank>(encoder);
  REQUIRE(plans.size() == 3);
  CHECK(plans[0] == nullptr);
  CHECK(plans[1] != nullptr);
  CHECK(plans[2] == nullptr);
  REQUIRE(solvers.size() == 3);
  CHECK(solvers[0] == nullptr);
  CHECK(solvers[1] != nullptr);
  CHECK(solvers[2] != nullptr);
  REQUIRE(ranks.size() == 3);
  CHECK(ranks[0] == nullptr);
  CHECK(ranks[1] != nullptr);
  CHECK(ranks[2] == nullptr);
  // The same module, not a copy of it.
  CHECK(dynamic_cast<AttentionImpl*>(plans[1]) == &encoder.layers()[1]->attention());
}
