// SPDX-License-Identifier: MIT
// How the transport problems behind a number ended: a solver that stops at its limit hands out a plan that is
// none, and nothing else would say so.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>

#include "lotformer/core/json.h"
#include "lotformer/train/world.h"

namespace lotformer {

class ClassifierImpl;

struct TransportCount {
  int64_t problems = 0;
  /// That ended above their tolerance.
  int64_t unconverged = 0;
  /// The largest, NaN when one was.
  double residual = 0;
  /// More than one in a hundred.
  bool alarming() const { return unconverged > problems / 100; }
};
Json to_json(const TransportCount& count);
TransportCount transport_count_from_json(const Json& json, const std::string& where);
/// "12 of 3,400 transport problems ended above their tolerance (largest residual 0.031)".
std::string describe(const TransportCount& count);
/// The same as a warning with its remedies, `when` in front, where it is alarming.
void warn_if_alarming(const std::string& when, const TransportCount& count);

/// Adds up what the solvers of a model's layers did, without waiting for the device.
class SolverTally {
 public:
  /// After a forward pass of the model.
  void add(ClassifierImpl& model);
  void add(const SolverTally& other);
  /// Collective: what the solvers of all processes did. Does not wait for the device.
  SolverTally over(const World& world, c10::Device device) const;
  /// Waits for the device; nothing when no problem was solved.
  std::optional<TransportCount> count() const;
  int64_t problems() const { return problems_; }
  /// On the device, int64 and float64 scalars; undefined when no problem was solved.
  const at::Tensor& unconverged() const { return unconverged_; }
  const at::Tensor& residual() const { return residual_; }
  void restart(const std::optional<TransportCount>& from = std::nullopt);

 private:
  void add(int64_t problems, const at::Tensor& unconverged, const at::Tensor& residual);
  int64_t problems_ = 0;
  at::Tensor unconverged_, residual_;
};

}  // namespace lotformer
