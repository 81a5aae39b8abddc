// SPDX-License-Identifier: MIT
// The parts of a training step: clip and optimiser, loss scale, the watch for non-finite numbers, the log
// window, resume rules.
#include <ATen/ops/full.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/utils.h>

#include <cmath>
#include <limits>
#include <tuple>

#include "train/numerics.h"
#include "train/optimizer.h"
#include "train/run/results.h"
#include "train/train_state.h"
// after torch
#include "support/catch.h"

using namespace lotformer;

namespace {

const at::Tensor kFinite = at::zeros({}, at::kFloat);
const at::Tensor kOverflow = at::ones_like(kFinite);

TrainConfig adam_config(double clip) {
  TrainConfig config;
  config.clip = clip;
  config.weight_decay = 0.1;
  return config;
}

/// AdamW as the paper writes it (Loshchilov & Hutter 2019, algorithm 2), one parameter, double.
struct PlainAdamW {
  at::Tensor value, m, v;
  int64_t t = 0;
  void step(const at::Tensor& gradient, double lr, const TrainConfig& c) {
    ++t;
    value = value * (1 - lr * c.weight_decay);
    m = c.beta1 * m + (1 - c.beta1) * gradient;
    v = c.beta2 * v + (1 - c.beta2) * gradient * gradient;
    const at::Tensor m_hat = m / (1 - std::pow(c.beta1, t)), v_hat = v / (1 - std::pow(c.beta2, t));
    value = value - lr * m_hat / (v_hat.sqrt() + c.adam_epsilon);
  }
};

}  // namespace

TEST_CASE("clip, loss scale and AdamW in one kernel equal the three done by hand", "[train]") {
  torch::manual_seed(1);
  for (const double clip : {0.0, 0.5, 1e6}) {
    for (const double scale : {1.0, 1024.0}) {
      INFO("clip " << clip << " scale " << scale);
      const TrainConfig config = adam_config(clip);
      const at::Tensor start = at::randn({7, 3}, at::kDouble);
      const at::Tensor parameter = start.clone().set_requires_grad(true);
      AdamW optimizer({{"p", parameter}}, config);
      PlainAdamW plain{start.clone(), at::zeros_like(start), at::zeros_like(start)};
      const at::Tensor loss_scale = scale == 1.0 ? at::Tensor() : at::full({}, scale, at::kFloat);
      for (int step = 0; step < 4; ++step) {
        const at::Tensor gradient = at::randn({7, 3}, at::kDouble);
        parameter.mutable_grad().copy_(gradient * scale);
        const at::Tensor norm = optimizer.grad_norm(loss_scale);
        CHECK(norm.item<double>() == Catch::Approx(gradient.norm().item<double>()));
        optimizer.set_lr(1e-2);
        optimizer.step(norm, loss_scale, kFinite);
        const double divisor = clip > 0 ? std::max(1.0, (gradient.norm().item<double>() + 1e-6) / clip) : 1.0;
        plain.step(gradient / divisor, 1e-2, config);
      }
      CHECK((parameter - plain.value).abs().max().item<double>() < 1e-8);
    }
  }
}

TEST_CASE("an overflow skips the update and does not count as a step", "[train]") {
  const at::Tensor parameter = at::randn({5}).set_requires_grad(true);
  AdamW optimizer({{"p", parameter}}, adam_config(5));
  const at::Tensor before = parameter.detach().clone();
  parameter.mutable_grad().fill_(std::numeric_limits<float>::infinity());
  optimizer.set_lr(1e-2);
  optimizer.step(optimizer.grad_norm({}), {}, kOverflow);
  CHECK(parameter.equal(before));
  for (const auto& [name, tensor] : optimizer.state()) CHECK(tensor.abs().max().item<float>() == 0.0F);
}

TEST_CASE("optimiser state goes through a checkpoint unchanged", "[train]") {
  const at::Tensor a = at::randn({4}).set_requires_grad(true), b = a.detach().clone().set_requires_grad(true);
  AdamW first({{"p", a}}, adam_config(1)), second({{"p", b}}, adam_config(1));
  const auto advance = [](const at::Tensor& p, AdamW& optimizer) {
    p.mutable_grad().fill_(0.3);
    optimizer.set_lr(1e-2);
    optimizer.step(optimizer.grad_norm({}), {}, kFinite);
  };
  advance(a, first);
  std::map<std::string, at::Tensor> saved;
  for (const auto& [name, tensor] : first.state()) saved[name] = tensor.clone();
  second.load_state(saved);
  const_cast<at::Tensor&>(b).set_data(a.detach().clone());
  advance(a, first);
  advance(b, second);
  CHECK(a.equal(b));
  saved.erase("step.p");
  CHECK_THROWS_WITH(second.load_state(saved), test::contains_text("step.p"));
}

TEST_CASE("the loss scale halves at an overflow and survives a checkpoint", "[train]") {
  LossScaler scaler(true, at::kCPU);
  CHECK(scaler.scale().item<float>() == 65536.0F);
  scaler.update(kOverflow);
  CHECK(scaler.scale().item<float>() == 32768.0F);
  for (int i = 0; i < 5; ++i) scaler.update(kFinite);
  LossScaler other(true, at::kCPU);
  other.load_state(scaler.state(), "test");
  CHECK(other.state() == scaler.state());
  CHECK_FALSE(LossScaler(false, at::kCPU).scale().defined());
}

TEST_CASE("the first non-finite step is remembered", "[train]") {
  const at::Tensor one = at::full({}, 1.0), nan = at::full({}, std::nan("")), inf = at::full({}, INFINITY);
  const at::Tensor unscaled, scale = at::full({}, 0.5), collapsed = at::full({}, LossScaler::kCollapsed / 2);
  FiniteWatch watch(at::kCPU);
  const auto observe = [](FiniteWatch& by, int64_t step, const at::Tensor& loss, const at::Tensor& norm,
                          const at::Tensor& loss_scale) {
    by.set_step(step);
    return by.observe(loss, norm, loss_scale).item<float>();
  };
  CHECK(observe(watch, 3, one, one, unscaled) == 0.0F);
  CHECK(watch.bad_step() == -1);
  CHECK(observe(watch, 4, one, inf, scale) == 1.0F);  // an overflow under loss scaling
  CHECK(watch.bad_step() == -1);
  CHECK(observe(watch, 5, one, inf, unscaled) == 1.0F);
  CHECK(observe(watch, 6, nan, one, unscaled) == 1.0F);
  CHECK(watch.bad_step() == 5);
  for (const auto& [loss, norm, loss_scale] :
       {std::tuple(nan, inf, scale), std::tuple(one, nan, collapsed)}) {
    FiniteWatch other(at::kCPU);
    CHECK(observe(other, 8, loss, norm, loss_scale) == 1.0F);
    CHECK(other.bad_step() == 8);
  }
  // With a limit it is the one that is too many in a row, and what has been counted goes through a
  // checkpoint.
  FiniteWatch patient(at::kCPU, 2);
  observe(patient, 1, nan, nan, unscaled);
  observe(patient, 2, one, one, unscaled);
  observe(patient, 3, nan, nan, unscaled);
  CHECK(patient.bad_step() == -1);
  CHECK(patient.count().all == 2);
  FiniteWatch resumed(at::kCPU, 2);
  resumed.restart(patient.count());
  observe(resumed, 4, one, inf, unscaled);
  CHECK(resumed.bad_step() == 4);
  CHECK(resumed.count().all == 3);
  CHECK(resumed.count().last == 4);
}

TEST_CASE("the log window is a mean over examples and survives a checkpoint", "[train]") {
  LogWindow window(at::kCPU);
  window.add(at::full({}, 8.0), at::full({}, 2), at::full({}, 1.0));
  window.count(4);
  LogWindow other(at::kCPU);
  other.load_state(window.state(), "test");
  for (LogWindow* w : {&window, &other}) {
    w->add(at::full({}, 1.0), at::full({}, 1), at::full({}, 3.0));
    w->count(2);
  }
  CHECK(window.means().loss == Catch::Approx(1.5));
  CHECK(window.means().accuracy == Catch::Approx(0.5));
  CHECK(window.means().grad_norm == Catch::Approx(2.0));
  CHECK(window.state() == other.state());
}

TEST_CASE("a loss that is not finite stays out of the log window", "[train]") {
  LogWindow window(at::kCPU);
  for (const double loss : {8.0, std::nan(""), 4.0}) {
    window.add(at::full({}, loss), at::full({}, 2), at::full({}, loss));
    window.count(4);
  }
  LogWindow other(at::kCPU);
  Json state = parse_json(to_line(window.state()), "test", ErrorKind::internal);
  other.load_state(state, "test");
  for (const LogWindow::Means& means : {window.means(), other.means()}) {
    CHECK(means.loss == Catch::Approx(1.5));
    CHECK(means.accuracy == Catch::Approx(0.5));
    CHECK(means.grad_norm == Catch::Approx(6.0));
    CHECK(means.examples == 8);
    CHECK(means.skipped == 1);
  }
  state.erase("losses");  // of an earlier build, which would have stopped at the second
  other.load_state(state, "test");
  CHECK(other.means().examples == 12);
}

TEST_CASE("the norm of a skipped update stays out of the log and of the checkpoint", "[train]") {
  LogWindow window(at::kCPU);
  window.add(at::full({}, 1.0), at::full({}, 1), at::full({}, INFINITY));
  window.count(1);
  CHECK(std::isfinite(window.means().grad_norm));
  window.add(at::full({}, 1.0), at::full({}, 1), at::full({}, 3.0));
  window.count(1);
  CHECK(window.means().grad_norm == Catch::Approx(3.0));
  LogWindow other(at::kCPU);
  other.load_state(parse_json(to_line(window.state()), "test", ErrorKind::internal), "test");
  CHECK(other.means().grad_norm == Catch::Approx(3.0));
}

TEST_CASE("state and scores go through JSON unchanged; of equal accuracies the smaller loss is better",
          "[train]") {
  TrainState state{12, 10, Score{10, 0.1 + 0.2, 1.0 / 3.0, 7, 9}, std::nullopt};
  const TrainState again = train_state_from_json(to_json(state), "test");
  CHECK(again.best->accuracy == state.best->accuracy);
  CHECK(again.best->loss == state.best->loss);
  CHECK_FALSE(again.last.has_value());
  CHECK(Score{1, 0.5, 1.0, 1, 1}.better_than(Score{2, 0.4, 0.1, 1, 1}));
  CHECK(Score{1, 0.5, 1.0, 1, 1}.better_than(Score{2, 0.5, 1.1, 1, 1}));
  CHECK_FALSE(Score{1, 0.5, 1.0, 1, 1}.better_than(Score{2, 0.5, 1.0, 1, 1}));
}

TEST_CASE("the Wilson interval of known cases", "[train]") {
  const auto [low, high] = wilson_interval(0.5, 100);
  CHECK(low == Catch::Approx(0.4038).margin(1e-4));
  CHECK(high == Catch::Approx(0.5962).margin(1e-4));
  CHECK(wilson_interval(0.0, 10).first == Catch::Approx(0.0).margin(1e-12));
  CHECK(wilson_interval(0.0, 10).second == Catch::Approx(0.2775).margin(1e-4));
}
