// SPDX-License-Identifier: MIT
// The optimiser's state when a parameter changes its shape.
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/utils.h>

#include "lotformer/core/error.h"
#include "train/optimizer.h"
// after torch
#include "support/catch.h"
#include "support/near.h"

using namespace lotformer;

namespace {

TrainConfig plain_config() {
  TrainConfig config;
  config.clip = 0;
  return config;
}

/// [1, new, old]: the last two of three become one, or the first of two becomes two halves.
const at::Tensor kMerge = at::tensor({1.0, 0.0, 0.0, 0.0, 1.0, 1.0}).reshape({1, 2, 3});
const at::Tensor kSplit = at::tensor({1.0, 0.0, 0.0, 0.5, 0.0, 0.5}).reshape({1, 3, 2});

at::Tensor state_of(const AdamW& optimizer, const std::string& name) {
  for (const auto& [key, tensor] : optimizer.state()) {
    if (key == name) return tensor;
  }
  FAIL("no state " << name);
  return {};
}

void step(AdamW& optimizer, at::Tensor& parameter, const at::Tensor& gradient) {
  optimizer.zero_grad();
  parameter.mutable_grad().copy_(gradient);
  const at::Tensor norm = optimizer.grad_norm({});
  optimizer.set_lr(0.1);
  optimizer.step(norm, {}, at::zeros({}, at::kFloat));
}

}  // namespace

TEST_CASE("optimiser state follows merged and split pivots") {
  torch::manual_seed(3);
  at::Tensor z = at::randn({1, 2, 4}).requires_grad_();
  AdamW optimizer({{"z", z}}, plain_config());
  const at::Tensor gradient = at::randn({1, 2, 4});
  step(optimizer, z, gradient);
  const at::Tensor mean = state_of(optimizer, "exp_avg.z").clone(),
                   square = state_of(optimizer, "exp_avg_sq.z").clone();

  // Two halves see half of the gradient each: half the mean, a quarter of the square. Merged again they are
  // what they were.
  z.set_data(at::randn({1, 3, 4}));
  optimizer.follow("z", kSplit);
  CHECK(z.grad().sizes() == z.sizes());
  CHECK_NEAR(state_of(optimizer, "exp_avg.z")[0][2], mean[0][1] / 2, 1e-7);
  CHECK_NEAR(state_of(optimizer, "exp_avg_sq.z")[0][2], square[0][1] / 4, 1e-7);
  z.set_data(at::randn({1, 2, 4}));
  optimizer.follow("z", kMerge);
  CHECK_NEAR(state_of(optimizer, "exp_avg.z"), mean, 1e-7);
  CHECK_NEAR(state_of(optimizer, "exp_avg_sq.z"), square, 1e-7);
  CHECK(state_of(optimizer, "step.z").item<float>() == 1);

  // And it goes on from there.
  const at::Tensor before = z.detach().clone();
  step(optimizer, z, gradient);
  CHECK_FALSE(before.equal(z.detach()));
  CHECK(z.isfinite().all().item<bool>());
  CHECK_THROWS_AS(optimizer.follow("y", kMerge), Error);
}

TEST_CASE("optimiser state of another rank is taken over when the parameter has it") {
  at::Tensor z = at::ones({1, 2, 4}).requires_grad_();
  AdamW wide({{"z", z}}, plain_config());
  step(wide, z, at::ones({1, 2, 4}));
  at::Tensor other = at::ones({1, 3, 4}).requires_grad_();
  AdamW narrow({{"z", other}}, plain_config());
  std::map<std::string, at::Tensor> stored;
  for (const auto& [name, tensor] : wide.state()) stored[name] = tensor.clone();
  CHECK_THROWS_AS(narrow.load_state(stored), Error);  // the parameter has three
  other.set_data(at::ones({1, 2, 4}));
  narrow.load_state(stored);
  CHECK_NEAR(state_of(narrow, "exp_avg.z"), stored["exp_avg.z"], 0);
  CHECK(other.grad().sizes() == other.sizes());
  step(narrow, other, at::ones({1, 2, 4}));
  CHECK_FALSE(other.detach().equal(at::ones({1, 2, 4})));
}
