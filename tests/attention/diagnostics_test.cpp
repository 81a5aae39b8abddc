// SPDX-License-Identifier: MIT
#include "lotformer/attention/diagnostics.h"

#include <ATen/ATen.h>
#include <torch/utils.h>

#include <map>

#include "lotformer/attention/controls.h"
#include "lotformer/attention/lotformer.h"
#include "lotformer/attention/softmax.h"
#include "support/attention_inputs.h"
#include "support/catch.h"
#include "support/dense_map.h"
#include "support/near.h"

namespace lotformer {
namespace {

using test::attention_inputs;
using test::AttentionInputs;
using test::lengths_of;

std::map<std::string, double> numbers(const Diagnostics& found) {
  return {found.begin(), found.end()};
}

double dense_rank(const at::Tensor& map) {
  return effective_rank(at::linalg_svdvals(map.to(at::kDouble)));
}

TEST_CASE("diagnostics: the controls are what they are") {
  const AttentionInputs x = attention_inputs({2, 2, 12, 4}, at::kDouble, 1);
  MeanAttentionImpl mean({}, {.heads = 2, .head_dim = 4});
  auto found = numbers(mean.diagnose(x.q, x.k, lengths_of({12, 5})));
  CHECK(found["row_error"] < 1e-12);
  CHECK(found["column_error"] < 1e-12);
  CHECK(found["entropy"] == Approx((std::log(12.0) + std::log(5.0)) / 2));
  CHECK(found["entropy"] == Approx(found["entropy_limit"]));
  CHECK(found["effective_rank"] == Approx(1).epsilon(1e-6));
  NoAttentionImpl none({}, {.heads = 2, .head_dim = 4});
  found = numbers(none.diagnose(x.q, x.k, {}));
  CHECK(found["row_error"] == 1);
  CHECK(found["column_error"] == 1);
  CHECK(found["entropy"] == 0);
  CHECK(mean.diagnose(x.q, x.k, lengths_of({0, 0})).empty());
}

TEST_CASE("diagnostics: softmax against its dense map") {
  // As many channels as tokens: every row is seen, and the sketch has full rank.
  const AttentionInputs x = attention_inputs({1, 2, 16, 16}, at::kDouble, 2);
  SoftmaxAttentionImpl module({}, {.heads = 2, .head_dim = 16});
  const auto found = numbers(module.diagnose(x.q, x.k, {}));
  const at::Tensor map = test::dense_map(module, x.q, x.k, {});
  CHECK(found.at("row_error") < 1e-12);
  CHECK(found.at("column_error") == Approx((map.sum(2) - 1).abs().max().item<double>()));
  CHECK(found.at("entropy") == Approx(-at::xlogy(map, map).sum(3).mean().item<double>()));
  CHECK(found.at("effective_rank") == Approx(dense_rank(map)).epsilon(0.35));
  // Padding is not part of the map.
  const AttentionInputs padded = attention_inputs({1, 2, 16, 16}, at::kDouble, 2);
  const auto short_one = numbers(module.diagnose(padded.q, padded.k, lengths_of({9})));
  const auto alone = numbers(module.diagnose(padded.q.narrow(2, 0, 9), padded.k.narrow(2, 0, 9), {}));
  CHECK(short_one.at("column_error") == Approx(alone.at("column_error")));
  CHECK(short_one.at("entropy") == Approx(alone.at("entropy")));
}

TEST_CASE("diagnostics: LOTFormer's rank is that of a dense decomposition") {
  torch::manual_seed(3);
  const AttentionInputs x = attention_inputs({2, 2, 40, 8}, at::kDouble, 3);
  for (const char* mode : {"exact", "truncated", "reference"}) {
    INFO(mode);
    LotformerOptions options;
    options.mode = mode;
    options.pivots = 6;
    options.epsilon = 0.5;
    options.tolerance = options.eval_tolerance = 1e-12;
    LotformerAttentionImpl module(options, {.heads = 2, .head_dim = 8});
    module.to(at::kDouble);
    module.pivots.set_data(at::randn({2, 6, 8}, at::kDouble));
    torch::manual_seed(9);
    const Diagnostics all = module.diagnose(x.q, x.k, {});
    const auto found = numbers(all);
    const at::Tensor after = at::randn({4});
    torch::manual_seed(9);
    CHECK(after.equal(at::randn({4})));  // nothing was drawn from it
    const at::Tensor map = test::dense_map(module, x.q, x.k, {});
    CHECK(found.at("effective_rank") == Approx(dense_rank(map)).epsilon(1e-6));
    std::vector<double> values;
    for (const auto& [name, value] : all) {
      if (name == "singular_values[]") values.push_back(value);
    }
    REQUIRE(values.size() == 6);
    const double row_sum = options.mode == "reference" ? 1.0 / 36 : 1;  // of the published arithmetic: r^-2
    CHECK_NEAR(at::tensor(values, at::kDouble) * row_sum,
               at::linalg_svdvals(map).narrow(-1, 0, 6).flatten(0, 1).mean(0), 1e-7);
    CHECK(found.at("query_sharpness") > 1);
    CHECK(found.count("passes_mean") == (options.mode == "exact" ? 1 : 0));
  }
}

}  // namespace
}  // namespace lotformer
