// SPDX-License-Identifier: MIT
#include "scored_batches.h"

#include <ATen/ops/argmax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>

#include <cstring>
#include <string>

#include "lotformer/core/error.h"

namespace lotformer {
namespace {

std::string bytes_of(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.contiguous();
  return {static_cast<const char*>(flat.const_data_ptr()), flat.nbytes()};
}

at::Tensor from_bytes(const std::string& bytes, std::vector<int64_t> shape, c10::ScalarType type) {
  at::Tensor tensor = at::empty(shape, type);
  if (tensor.nbytes() != bytes.size())
    throw Error(ErrorKind::internal, "evaluation: a process has sent results of another size");
  std::memcpy(tensor.mutable_data_ptr(), bytes.data(), bytes.size());
  return tensor;
}

/// Of one process, on the CPU.
struct Part {
  at::Tensor losses;   // float64 [batches]
  at::Tensor rows;     // int64 [batches], of each
  at::Tensor classes;  // int64 [rows]
  at::Tensor logits;   // float32 [rows, classes]
};

std::vector<Part> exchange(const World& world, const Part& mine) {
  if (world.alone()) return {mine};
  const auto losses = world.gather(bytes_of(mine.losses)), rows = world.gather(bytes_of(mine.rows)),
             classes = world.gather(bytes_of(mine.classes)), logits = world.gather(bytes_of(mine.logits));
  std::vector<Part> parts;
  for (size_t r = 0; r < losses.size(); ++r) {
    const auto batches = static_cast<int64_t>(losses[r].size() / sizeof(double));
    const auto count = static_cast<int64_t>(classes[r].size() / sizeof(int64_t));
    const int64_t width = count > 0 ? static_cast<int64_t>(logits[r].size() / sizeof(float)) / count : 0;
    parts.push_back({from_bytes(losses[r], {batches}, at::kDouble), from_bytes(rows[r], {batches}, at::kLong),
                     from_bytes(classes[r], {count}, at::kLong),
                     from_bytes(logits[r], {count, width}, at::kFloat)});
  }
  return parts;
}

}  // namespace

void ScoredBatches::add(const at::Tensor& logits, const at::Tensor& labels) {
  losses_.push_back(at::cross_entropy_loss(logits, labels, {}, at::Reduction::None).to(at::kDouble).sum());
  classes_.push_back(logits.argmax(1));
  logits_.push_back(logits.to(at::kFloat));
}

ScoredBatches::All ScoredBatches::gather(const World& world) const {
  Part mine;
  mine.rows = at::empty({static_cast<int64_t>(logits_.size())}, at::kLong);
  for (size_t b = 0; b < logits_.size(); ++b) mine.rows.mutable_data_ptr<int64_t>()[b] = logits_[b].size(0);
  mine.losses = losses_.empty() ? at::empty({0}, at::kDouble) : at::stack(losses_).cpu();
  mine.classes = classes_.empty() ? at::empty({0}, at::kLong) : at::cat(classes_).cpu();
  mine.logits = logits_.empty() ? at::empty({0, 0}, at::kFloat) : at::cat(logits_).cpu();
  const std::vector<Part> parts = exchange(world, mine);

  All all;
  std::vector<at::Tensor> classes, logits;
  std::vector<int64_t> done(parts.size(), 0);  // rows of each process
  for (int64_t turn = 0; turn < parts[0].losses.numel(); ++turn) {
    for (size_t r = 0; r < parts.size(); ++r) {
      const Part& part = parts[r];
      if (turn >= part.losses.numel()) break;
      const int64_t count = part.rows.const_data_ptr<int64_t>()[turn];
      all.loss += part.losses.const_data_ptr<double>()[turn];
      classes.push_back(part.classes.narrow(0, done[r], count));
      logits.push_back(part.logits.narrow(0, done[r], count));
      done[r] += count;
    }
  }
  all.classes = at::cat(classes);
  all.logits = at::cat(logits);
  return all;
}

}  // namespace lotformer
