// SPDX-License-Identifier: MIT
// Measures whose tokens have masses of their own (mode exact), against the definition in float64.
#include "checks.h"

using namespace lotformer::ops::pivot::cuda;
using namespace lotformer::ops::pivot::cuda::test;

namespace {

Inputs with_masses(const Shape& shape, bool bf16, bool queries, bool keys, double spread) {
  Inputs in = random_inputs(shape, Mode::exact, 1.0, bf16);
  in.lengths = {shape.tokens, shape.tokens / 2};
  if (queries) spread_masses(in, 0, spread);
  if (keys) spread_masses(in, 1, spread);
  return in;
}

void check_masses_at_padding(const Inputs& in, const Results& got) {
  for (int side = 0; side < 2; ++side) {
    for (size_t i = 0; i < got.d_masses[side].size(); ++i) {
      const auto at = static_cast<int64_t>(i);
      if (at % in.tokens >= in.lengths[at / in.tokens / in.heads]) CHECK(got.d_masses[side][i] == 0);
    }
  }
}

}  // namespace

TEST_CASE("Masses of the tokens: every row, resident in a cluster of two and streamed", "[table]") {
  struct Case {
    int64_t pivots, head_dim;
    bool bf16, queries, keys;
  };
  for (const Case& c :
       {Case{4, 8, false, false, true}, Case{4, 32, true, true, true}, Case{7, 64, false, true, false},
        Case{16, 32, false, true, true}, Case{20, 64, true, false, true}, Case{64, 32, false, true, true},
        Case{100, 32, false, false, true}}) {
    const Inputs in =
        with_masses({2, 1, c.pivots < 64 ? 90 : 36, c.pivots, c.head_dim}, c.bf16, c.queries, c.keys, 1.0);
    INFO("pivots " << c.pivots << " head_dim " << c.head_dim << (c.bf16 ? " bf16" : "")
                   << (c.queries ? " queries" : "") << (c.keys ? " keys" : ""));
    const Results got = both_orders(in, two_ctas);
    check_output(in, got);
    check_gradients(in, got);
    check_padding_is_zero(in, got);
    check_masses_at_padding(in, got);
    check_output(in, run_emulated(in, kLargeDevice, streamed));
  }
}

TEST_CASE("Equal masses are the uniform measure") {
  for (const int64_t pivots : {4, 16}) {
    INFO("pivots " << pivots);
    const Inputs in = with_masses({2, 2, 60, pivots, 32}, false, true, true, 0.0);
    Inputs uniform = in;
    for (auto& masses : uniform.masses) masses.clear();
    const Results got = run_emulated(in), expected = run_emulated(uniform);
    for (auto member :
         {&Results::out, &Results::d_q, &Results::d_k, &Results::d_v, &Results::d_z, &Results::d_sigma})
      CHECK(difference(got.*member, expected.*member, 1e-5 * largest(expected.*member)) == "");
    CHECK(got.passes == expected.passes);
  }
}

TEST_CASE("A token without mass, nearly all mass on one token, a relaxed side") {
  for (const int64_t pivots : {4, 16}) {
    INFO("pivots " << pivots);
    Inputs in = with_masses({2, 1, 40, pivots, 32}, false, false, true, 3.0);
    in.masses[1][0] = 0;
    double rest = 0;
    for (int64_t i = 1; i < 40; ++i) rest += in.masses[1][i];
    for (int64_t i = 1; i < 40; ++i) in.masses[1][i] = static_cast<float>(in.masses[1][i] / rest);
    for (const bool relaxed : {false, true}) {
      if (relaxed) in.kappa = {0.0f, 0.4f};
      for (const Change change : {Change(nullptr), Change(streamed)}) {
        const Results got = run_emulated(in, kLargeDevice, change);
        check_output(in, got);
        // Finite differences would move the mass of 0.
        for (const std::vector<float>* x : {&got.d_q, &got.d_k, &got.d_v, &got.d_z, &got.d_masses[1]})
          CHECK(difference(*x, *x, 0) == "");  // NaN never passes
      }
    }
  }
}

TEST_CASE("Problems out of float32's range are done again with their masses") {
  Inputs in = random_inputs({1, 1, 40, 4, 32}, Mode::exact, 1.0, false);
  starve_last_pivot(in, 200);
  in.tolerance = 1e-5;
  spread_masses(in, 1, 1.0);
  const Results flagged = run_emulated(in);
  check_output(in, flagged);
  CHECK(same_bits(flagged, run_emulated(in, kLargeDevice, streamed)));
}
