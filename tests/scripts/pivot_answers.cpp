// SPDX-License-Identifier: MIT
// What the framework's own operator answers, for torch_operators.py to compare with: reads q, k, v, pivots,
// masses (and lengths, kappa, query_masses, key_masses, d_out) of one call from a safetensors file whose
// metadata name the mode and its numbers, writes the output and the gradients of sum(out * d_out).
//   pivot_answers CALL.safetensors ANSWER.safetensors
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include <cstring>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "lotformer/core/file_system.h"
#include "lotformer/core/safetensors.h"
#include "lotformer/ops/pivot.h"

namespace {

using lotformer::ErrorKind;
using Named = std::vector<std::pair<std::string, at::Tensor>>;

at::ScalarType type_of(const std::string& dtype) {
  return dtype == "F64" ? at::kDouble : dtype == "I64" ? at::kLong : at::kFloat;
}

at::Tensor read(const lotformer::SafetensorsFile& file, const std::string& name) {
  if (!file.contains(name)) return {};
  const lotformer::TensorView& view = file.tensor(name);
  at::Tensor x = at::empty(view.shape, at::TensorOptions().dtype(type_of(view.dtype)));
  std::memcpy(x.mutable_data_ptr(), view.data.data(), view.data.size());
  return x;
}

void write(const std::string& path, const Named& tensors) {
  std::vector<std::pair<std::string, lotformer::TensorView>> views;
  std::vector<at::Tensor> kept;
  for (const auto& [name, x] : tensors) {
    kept.push_back(x.detach().contiguous());
    const at::Tensor& own = kept.back();
    views.push_back({name,
                     {own.scalar_type() == at::kDouble ? "F64" : "F32",
                      own.sizes().vec(),
                      {static_cast<const uint8_t*>(own.const_data_ptr()), own.nbytes()}}});
  }
  lotformer::FileWriter writer(path);
  lotformer::write_safetensors(writer, views, {});
  writer.commit();
}

lotformer::ops::PivotCall read_call(const lotformer::SafetensorsFile& file) {
  const std::map<std::string, std::string>& said = file.metadata();
  lotformer::ops::PivotCall call;
  call.q = read(file, "q");
  call.k = read(file, "k");
  call.v = read(file, "v");
  call.pivots = read(file, "pivots");
  call.masses = read(file, "masses");
  call.lengths = read(file, "lengths");
  call.epsilon = std::stod(said.at("epsilon"));
  call.core = lotformer::ops::PivotCore::cpu;
  call.mode = said.at("mode") == "exact"       ? lotformer::ops::PivotMode::exact
              : said.at("mode") == "truncated" ? lotformer::ops::PivotMode::truncated
                                               : lotformer::ops::PivotMode::reference;
  call.half_iterations = std::stoll(said.at("half_iterations"));
  call.solver = {std::stod(said.at("tolerance")), std::stoll(said.at("max_passes"))};
  if (const at::Tensor kappa = read(file, "kappa"); kappa.defined()) {
    call.marginals.query_kappa = kappa[0];
    call.marginals.key_kappa = kappa[1];
  }
  call.marginals.tokens = {read(file, "query_masses"), read(file, "key_masses")};
  at::set_num_threads(std::stoi(said.at("threads")));
  return call;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) {
    std::cerr << "pivot_answers CALL.safetensors ANSWER.safetensors\n";
    return 2;
  }
  const lotformer::SafetensorsFile file(arguments[1], ErrorKind::usage);
  lotformer::ops::PivotCall call = read_call(file);
  Named inputs{{"q", call.q}, {"k", call.k}, {"v", call.v}, {"pivots", call.pivots}};
  if (call.mode != lotformer::ops::PivotMode::reference) inputs.emplace_back("masses", call.masses);
  if (call.marginals.tokens.query.defined()) inputs.emplace_back("query_masses", call.marginals.tokens.query);
  if (call.marginals.tokens.key.defined()) inputs.emplace_back("key_masses", call.marginals.tokens.key);
  for (auto& [name, x] : inputs) x.set_requires_grad(true);
  const at::Tensor out = lotformer::ops::pivot_attention(call);
  (out * read(file, "d_out")).sum().backward();
  Named answers{{"out", out}};
  for (const auto& [name, x] : inputs) answers.emplace_back("d_" + name, x.grad());
  write(arguments[2], answers);
  return 0;
}
