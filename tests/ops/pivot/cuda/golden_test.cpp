// SPDX-License-Identifier: MIT
// Golden cases of module lotformer through the emulated core, by their float32 tolerances.
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "inputs.h"
#include "lotformer/core/json.h"
#include "lotformer/core/safetensors.h"
#include "support/catch.h"

using namespace lotformer;
using namespace lotformer::ops::pivot::cuda;
using namespace lotformer::ops::pivot::cuda::test;

namespace {

using Numbers = std::vector<double>;

Numbers numbers(const SafetensorsFile& file, const std::string& name) {
  const TensorView& view = file.tensor(name);
  Numbers result(view.data.size() / 8);
  for (size_t i = 0; i < result.size(); ++i) {
    int64_t integer;
    std::memcpy(view.dtype == "I64" ? static_cast<void*>(&integer) : &result[i], view.data.data() + 8 * i, 8);
    if (view.dtype == "I64") result[i] = static_cast<double>(integer);
  }
  return result;
}

std::filesystem::path golden_folder() {
  const char* redirected = std::getenv("LOTFORMER_GOLDEN_DIR");
  return redirected && *redirected ? std::filesystem::path(redirected)
                                   : std::filesystem::path(LOTFORMER_TEST_DATA) / "golden";
}

/// Real tokens of each sequence first, in their order: token `order[b * n + i]` of the case is token i here.
std::vector<int64_t> real_first(const Numbers& mask, int64_t batch, int64_t n,
                                std::vector<int64_t>& lengths) {
  std::vector<int64_t> order;
  for (int64_t b = 0; b < batch; ++b) {
    for (const bool real : {true, false}) {
      for (int64_t i = 0; i < n; ++i) {
        if ((mask[b * n + i] != 0) == real) order.push_back(i);
      }
      if (real) lengths.push_back(static_cast<int64_t>(order.size()) - b * n);
    }
  }
  return order;
}

struct Golden {
  explicit Golden(const Json& entry)
      : name(entry.at("name")),
        parameters(entry.at("hyperparameters")),
        tolerance(entry.at("tolerance").at("f32")),
        file(golden_folder() / entry.at("file").get<std::string>(), ErrorKind::data) {}
  std::string name;
  Json parameters, tolerance;
  SafetensorsFile file;
};

struct Call {
  Inputs in;
  std::vector<int64_t> order;  // empty: tokens stand as they are

  std::vector<float> moved(const Numbers& x) const {
    std::vector<float> result(x.size());
    each([&](int64_t there, int64_t here) { result[here] = static_cast<float>(x[there]); });
    return result;
  }
  Numbers back(const std::vector<float>& x) const {
    Numbers result(x.size());
    each([&](int64_t there, int64_t here) { result[there] = x[here]; });
    return result;
  }

 private:
  template <class F>
  void each(F f) const {
    const int64_t n = in.tokens, d = in.head_dim;
    for (int64_t row = 0; row < in.batch * in.heads * n; ++row) {
      const int64_t b = row / n / in.heads,
                    there = order.empty() ? row : row / n * n + order[b * n + row % n];
      for (int64_t c = 0; c < d; ++c) f(there * d + c, row * d + c);
    }
  }
};

Call call_of(const Golden& g, Mode mode) {
  Call call;
  Inputs& in = call.in;
  in.mode = mode;
  in.batch = g.parameters.at("batch");
  in.heads = g.parameters.at("heads");
  in.tokens = g.parameters.at("seq");
  in.head_dim = g.parameters.at("head_dim");
  in.pivots = g.parameters.at("rank");
  in.epsilon = g.parameters.at("eps");
  in.tolerance = 2e-7;
  in.max_passes = 200;
  if (mode != Mode::exact) in.half_iterations = g.parameters.at("half_iterations");
  if (mode != Mode::reference)
    call.order = real_first(numbers(g.file, "mask"), in.batch, in.tokens, in.lengths);
  in.q = call.moved(numbers(g.file, "q"));
  in.k = call.moved(numbers(g.file, "k"));
  in.v = call.moved(numbers(g.file, "v"));
  in.d_out = call.moved(numbers(g.file, "grad_out"));
  const Numbers z = numbers(g.file, "pivots");
  in.z.assign(z.begin(), z.end());
  in.sigma.assign(in.heads * in.pivots, 1.0f / static_cast<float>(in.pivots));
  if (mode == Mode::reference || !g.file.contains("pivot_logits")) return call;
  const Numbers logits = numbers(g.file, "pivot_logits");
  for (int64_t h = 0; h < in.heads; ++h) {
    double sum = 0;
    for (int64_t j = 0; j < in.pivots; ++j) sum += std::exp(logits[h * in.pivots + j]);
    for (int64_t j = 0; j < in.pivots; ++j)
      in.sigma[h * in.pivots + j] = static_cast<float>(std::exp(logits[h * in.pivots + j]) / sum);
  }
  return call;
}

/// Gradient of the logits behind sigma = softmax(logits).
Numbers logit_gradient(const Inputs& in, const std::vector<float>& d_sigma) {
  Numbers result(d_sigma.size());
  for (int64_t h = 0; h < in.heads; ++h) {
    double mean = 0;
    const int64_t first = h * in.pivots;
    for (int64_t j = 0; j < in.pivots; ++j)
      mean += static_cast<double>(in.sigma[first + j]) * d_sigma[first + j];
    for (int64_t j = 0; j < in.pivots; ++j)
      result[first + j] = in.sigma[first + j] * (d_sigma[first + j] - mean);
  }
  return result;
}

void check_case(const Golden& g, Mode mode) {
  const Call call = call_of(g, mode);
  const Results got = run_emulated(call.in);
  const auto check = [&](const std::string& what, const Numbers& actual) {
    INFO(g.name << " " << what);
    CHECK(difference(actual, numbers(g.file, what), g.tolerance.at(what).get<double>()) == "");
  };
  check("out", call.back(got.out));
  check("grad_q", call.back(got.d_q));
  check("grad_k", call.back(got.d_k));
  check("grad_v", call.back(got.d_v));
  check("grad_pivots", Numbers(got.d_z.begin(), got.d_z.end()));
  if (mode != Mode::reference) check("grad_pivot_logits", logit_gradient(call.in, got.d_sigma));
}

int check_family(const std::string& family, Mode mode) {
  const Json index = read_json(golden_folder() / "index.json", ErrorKind::data);
  int cases = 0;
  for (const Json& entry : index.at("cases")) {
    if (entry.at("module") != "lotformer" || entry.at("family") != family) continue;
    check_case(Golden(entry), mode);
    ++cases;
  }
  return cases;
}

}  // namespace

TEST_CASE("Golden LOTFormer cases: exact") {
  CHECK(check_family("exact", Mode::exact) == 7);
}

TEST_CASE("Golden LOTFormer cases: truncated") {
  CHECK(check_family("truncated", Mode::truncated) == 5);
}

TEST_CASE("Golden LOTFormer cases: reference") {
  CHECK(check_family("reference", Mode::reference) == 8);
}
