// SPDX-License-Identifier: MIT
#include "solver_tally.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>

#include <limits>
#include <sstream>

#include "lotformer/attention/capabilities/solver.h"
#include "lotformer/core/log.h"
#include "lotformer/core/text.h"
#include "lotformer/model/capabilities.h"
#include "lotformer/model/classifier.h"

namespace lotformer {

Json to_json(const TransportCount& c) {
  return {{"problems", c.problems}, {"unconverged", c.unconverged}, {"residual_max", c.residual}};
}

TransportCount transport_count_from_json(const Json& json, const std::string& where) {
  constexpr ErrorKind kKind = ErrorKind::checkpoint;
  const auto residual = json_get<Json>(json, "residual_max", where, kKind);  // null: JSON has no NaN
  return {json_get<int64_t>(json, "problems", where, kKind),
          json_get<int64_t>(json, "unconverged", where, kKind),
          residual.is_null() ? std::numeric_limits<double>::quiet_NaN()
                             : json_get<double>(json, "residual_max", where, kKind)};
}

std::string describe(const TransportCount& c) {
  std::ostringstream residual;
  residual.precision(2);
  residual << c.residual;
  return concat(format_count(c.unconverged), " of ", format_count(c.problems),
                " transport problems ended above their tolerance (largest residual ", residual.str(), ")");
}

void warn_if_alarming(const std::string& when, const TransportCount& c) {
  if (!c.alarming()) return;
  log::warning(
      concat(when, ": ", describe(c),
             "; the plans are off by that. A larger model.attention.epsilon, max_passes (lotformer) or "
             "max_half_iterations (sinkformer) helps; docs/troubleshooting.md"));
}

void SolverTally::add(int64_t problems, const at::Tensor& unconverged, const at::Tensor& residual) {
  if (problems == 0) return;
  // Never what was given: a recording that is played back writes to it again.
  unconverged_ = problems_ == 0 ? unconverged.clone() : unconverged_ + unconverged;
  residual_ = problems_ == 0 ? residual.clone() : at::maximum(residual_, residual);  // NaN stays
  problems_ += problems;
}

void SolverTally::add(ClassifierImpl& model) {
  const at::NoGradGuard no_grad;
  for (const HasSolver* layer : layers_as<HasSolver>(model.encoder())) {
    if (layer == nullptr) continue;
    const SolverCount count = layer->solver_count();
    add(count.problems, count.unconverged, count.residual);
  }
}

void SolverTally::add(const SolverTally& other) {
  add(other.problems_, other.unconverged_, other.residual_);
}

SolverTally SolverTally::over(const World& world, c10::Device device) const {
  if (world.alone()) return *this;
  const auto problems = static_cast<int64_t>(sum(world, {static_cast<double>(problems_)})[0]);
  if (problems == 0) return {};
  // Counts are exact in a double. Each residual stands at its process's place, where the sum leaves it.
  const at::Tensor numbers =
      at::zeros({1 + world.size()}, at::TensorOptions().dtype(at::kDouble).device(device));
  if (problems_ > 0) {
    numbers[0].copy_(unconverged_);
    numbers[1 + world.rank()].copy_(residual_);
  }
  world.sum(numbers);
  SolverTally all;
  all.add(problems, numbers[0].to(at::kLong), numbers.narrow(0, 1, world.size()).max());  // NaN stays
  return all;
}

std::optional<TransportCount> SolverTally::count() const {
  if (problems_ == 0) return std::nullopt;
  return TransportCount{problems_, unconverged_.item<int64_t>(), residual_.item<double>()};
}

void SolverTally::restart(const std::optional<TransportCount>& from) {
  *this = {};
  if (from)
    add(from->problems, at::scalar_tensor(from->unconverged, at::kLong),
        at::scalar_tensor(from->residual, at::kDouble));
}

}  // namespace lotformer
