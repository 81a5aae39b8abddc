// SPDX-License-Identifier: MIT
// Every row of the dispatch table against the definition in float64, gradients against finite differences of
// it.
#include <limits>

#include "checks.h"

using namespace lotformer::ops::pivot::cuda;
using namespace lotformer::ops::pivot::cuda::test;

namespace {

/// Kernel of the solver that as_form takes: index of the resident one, -1 streamed.
int form = 0;
void as_form(Plan& plan) {
  plan.resident = form;
  plan.cluster = plan.stream_cluster = 1;
}

}  // namespace

TEST_CASE("Dispatch table: every row, mode and dtype, resident in a cluster of two and streamed", "[table]") {
  struct Case {
    int64_t pivots, head_dim;
  };
  for (const Case c : {Case{4, 32}, Case{8, 64}, Case{16, 32}, Case{32, 64}, Case{64, 32}, Case{128, 32}}) {
    for (const Mode mode : {Mode::exact, Mode::truncated, Mode::reference}) {
      const bool bf16 = mode == Mode::truncated;
      Inputs in = random_inputs({2, 1, 140, c.pivots, c.head_dim}, mode, 1.0, bf16);
      in.half_iterations = mode == Mode::truncated ? 5 : 4;
      if (mode != Mode::reference) in.lengths = {140, 71};
      INFO("pivots " << c.pivots << " head_dim " << c.head_dim << " mode " << name_of(mode)
                     << (bf16 ? " bf16" : ""));
      const Results got = run_emulated(in, kLargeDevice, two_ctas);
      check_output(in, got);
      check_gradients(in, got);
      check_padding_is_zero(in, got);
      CHECK(got.launches_forward == 3);
      CHECK(got.launches_backward == 4);
      check_output(in, run_emulated(in, kLargeDevice, streamed));
    }
  }
}

TEST_CASE(
    "Odd shapes: pivots between rows of the table, narrow heads, one token, no token, bf16 in every mode") {
  struct Case {
    int64_t pivots, head_dim, tokens;
    Mode mode;
    bool bf16;
    std::vector<int64_t> lengths;
  };
  for (const Case& c :
       {Case{1, 8, 9, Mode::exact, false, {}}, Case{3, 4, 33, Mode::truncated, false, {1, 0}},
        Case{7, 20, 40, Mode::exact, true, {40, 1}}, Case{13, 36, 25, Mode::exact, false, {25, 0}},
        Case{20, 64, 65, Mode::reference, true, {3, 2}}, Case{40, 16, 70, Mode::exact, false, {1, 70}},
        Case{12, 32, 30, Mode::truncated, false, {1, 30}}}) {
    Inputs in = random_inputs({2, 1, c.tokens, c.pivots, c.head_dim}, c.mode, 0.7, c.bf16);
    in.lengths = c.lengths;
    in.half_iterations = 6;
    INFO("pivots " << c.pivots << " head_dim " << c.head_dim << " mode " << name_of(c.mode));
    const Results got = both_orders(in, nullptr);
    check_output(in, got);
    check_gradients(in, got);
    check_padding_is_zero(in, got);
  }
}

TEST_CASE("Relaxed and free marginals: every row, resident and streamed", "[second_table]") {
  const float kFree = std::numeric_limits<float>::infinity();
  struct Case {
    int64_t pivots, head_dim;
    bool bf16;
    std::vector<float> kappa;  // queries of head 0 and 1, keys of head 0 and 1
  };
  for (const Case& c :
       {Case{4, 32, false, {0.5f, 0, 0, 2}}, Case{7, 64, false, {kFree, 0.3f, 0.1f, kFree}},
        Case{16, 32, true, {0, kFree, kFree, 1}}, Case{20, 64, false, {1e-3f, 50, 3, 0.02f}},
        Case{64, 32, false, {kFree, 0.7f, kFree, 0.2f}}, Case{100, 32, false, {0.2f, 1, 0.4f, 0}}}) {
    Inputs in = random_inputs({1, 2, 90, c.pivots, c.head_dim}, Mode::exact, 1.0, c.bf16);
    in.lengths = {71};
    in.kappa = c.kappa;
    INFO("pivots " << c.pivots << (c.bf16 ? " bf16" : ""));
    const Results got = both_orders(in, two_ctas);
    check_output(in, got);
    check_gradients(in, got);
    check_padding_is_zero(in, got);
    check_output(in, run_emulated(in, kLargeDevice, streamed));
    for (size_t i = 0; i < c.kappa.size(); ++i) {
      CHECK(got.residual[i] <= in.tolerance);
      if (c.kappa[i] == 0 || c.kappa[i] == kFree) CHECK(got.d_kappa[i] == 0);
      if (c.kappa[i] == kFree) CHECK(got.passes[i] == 1);
    }
  }
}

TEST_CASE("A vanishing penalty is the constraint, an enormous one frees the marginal") {
  Inputs in = random_inputs({1, 1, 60, 6, 32}, Mode::exact, 1.0, false);
  in.tolerance = 1e-6;
  const auto with = [&](float kappa) {
    in.kappa.assign(2, kappa);
    return run_emulated(in);
  };
  const Results held = with(0), small = with(2e-9f), large = with(4e8f),
                free = with(std::numeric_limits<float>::infinity());
  in.kappa.clear();
  CHECK(run_emulated(in).out == held.out);
  for (auto member : {&Results::out, &Results::d_q, &Results::d_k, &Results::d_v, &Results::d_z}) {
    CHECK(difference(small.*member, held.*member, 1e-4 * largest(held.*member)) == "");
    CHECK(difference(large.*member, free.*member, 1e-4 * largest(free.*member)) == "");
  }
}

TEST_CASE("Forward and reversed fibres leave the same bits") {
  for (const int64_t pivots : {4, 16, 64}) {
    for (const Mode mode : {Mode::exact, Mode::truncated}) {
      Inputs in = random_inputs({1, 1, 150, pivots, 32}, mode, 1.5, false);
      in.lengths = {133};
      in.half_iterations = 4;
      INFO("pivots " << pivots << " mode " << name_of(mode));
      both_orders(in, two_ctas);
    }
  }
}

TEST_CASE("Whole dispatch table: forward and reversed fibres, one token beside many", "[second_table]") {
  for (const int64_t pivots : {4, 8, 16, 32, 64, 128}) {
    for (const int64_t head_dim : {32, 64}) {
      for (const Mode mode : {Mode::exact, Mode::truncated, Mode::reference}) {
        for (const bool bf16 : {false, true}) {
          Inputs in = random_inputs({2, 1, 18, pivots, head_dim}, mode, 0.3, bf16);
          in.half_iterations = 3;
          in.tolerance = 1e-5;
          if (mode != Mode::reference) in.lengths = {17, 1};
          for (form = pivots == 32 || pivots == 64 ? 1 : 0; form >= -1; --form) {
            INFO("pivots " << pivots << " head_dim " << head_dim << " mode " << name_of(mode)
                           << (bf16 ? " bf16" : "") << " form " << form);
            const Results got = both_orders(in, as_form);
            check_output(in, got);
            check_padding_is_zero(in, got);
          }
        }
      }
    }
  }
}

TEST_CASE("Flagged problems in every row of the table") {
  for (const int64_t pivots : {4, 8, 16, 32, 64, 128}) {
    Inputs in = random_inputs({1, 1, 20, pivots, 32}, Mode::truncated, 0.5, false);
    starve_last_pivot(in, 200);
    in.half_iterations = 4;
    for (form = pivots == 32 || pivots == 64 ? 1 : 0; form >= 0; --form) {
      INFO("pivots " << pivots << " form " << form);
      const Results flagged = both_orders(in, as_form);
      check_output(in, flagged);
      CHECK(same_bits(flagged, run_emulated(in, kLargeDevice, streamed)));
    }
  }
}

TEST_CASE("Any number of clusters does the flagged problems again, to the same bits") {
  Inputs in = random_inputs({3, 2, 20, 5, 32}, Mode::exact, 0.5, false);
  starve_last_pivot(in, 200);
  const Results expected = run_emulated(in, kLargeDevice, streamed);
  for (const int multiprocessors : {1, 2, 5, 132}) {
    INFO(multiprocessors << " multiprocessors");
    const Device device{1, 227 << 10, multiprocessors};
    CHECK(same_bits(run_emulated(in, device, [](Plan& plan) { plan.resident = 0; }), expected));
  }
  // One cluster has more sides than it looks at together.
  for (const int clusters : {1, 3}) {
    form = clusters;
    CHECK(same_bits(run_emulated(in, kLargeDevice, [](Plan& plan) { plan.redo_clusters = form; }), expected));
  }
}

TEST_CASE("Forward without gradients leaves the same output") {
  for (const int64_t pivots : {4, 64}) {
    for (const std::vector<float>& kappa : {std::vector<float>{}, std::vector<float>{0.5f, 0}}) {
      INFO("pivots " << pivots << (kappa.empty() ? "" : " relaxed"));
      Inputs in = random_inputs({1, 1, 150, pivots, 32}, Mode::exact, 1.5, false);
      in.kappa = kappa;
      const Results expected = run_emulated(in);
      in.gradients = false;
      form = 0;
      const Results got = both_orders(in, as_form);
      CHECK(got.out == expected.out);
      CHECK(got.residual == expected.residual);
      CHECK(got.passes == expected.passes);
    }
  }
}

TEST_CASE("Rows that are not aligned to four numbers leave the same bits") {
  for (const int64_t pivots : {4, 16, 64}) {
    for (const bool bf16 : {false, true}) {
      for (const int64_t head_dim : {34, 64}) {
        INFO("pivots " << pivots << " head_dim " << head_dim << (bf16 ? " bf16" : ""));
        Inputs in = random_inputs({1, 1, 70, pivots, head_dim}, Mode::exact, 1.0, bf16);
        const Results aligned = run_emulated(in);
        in.row_padding = 2;
        const Results got = run_emulated(in);
        check_output(in, got);
        CHECK(same_bits(got, aligned));
      }
    }
  }
}

TEST_CASE("Scores in shared memory: a cluster of two, gradients") {
  for (const Mode mode : {Mode::exact, Mode::truncated}) {
    Inputs in = random_inputs({1, 1, 540, 50, 32}, mode, 1.0, mode == Mode::truncated);
    in.lengths = {531};
    in.half_iterations = 4;
    INFO("mode " << name_of(mode));
    const Results got = both_orders(in, [](Plan& plan) {
      plan.resident = 1;
      plan.cluster = plan.stream_cluster = 2;
    });
    check_output(in, got);
    check_gradients(in, got);
  }
}

TEST_CASE("A result does not depend on the batch it stands in") {
  const Inputs pair = random_inputs({2, 1, 80, 16, 32}, Mode::exact, 1.0, false);
  Inputs single = pair;
  single.batch = 1;
  const size_t half = pair.q.size() / 2;
  for (std::vector<float>* x : {&single.q, &single.k, &single.v, &single.d_out})
    x->erase(x->begin(), x->begin() + half);
  const Results both = run_emulated(pair), one = run_emulated(single);
  CHECK(std::equal(one.out.begin(), one.out.end(), both.out.begin() + half));
  CHECK(std::equal(one.d_k.begin(), one.d_k.end(), both.d_k.begin() + half));
}

TEST_CASE("Problems out of float32's range are done again in the log domain") {
  for (const Mode mode : {Mode::exact, Mode::truncated, Mode::reference}) {
    Inputs in = random_inputs({1, 2, 40, 5, 32}, mode, 1.0, false);
    starve_last_pivot(in, 200);
    in.half_iterations = 8;
    INFO("mode " << name_of(mode));
    const Results resident = both_orders(in, nullptr);
    check_output(in, resident);
    check_gradients(in, resident);
    CHECK(same_bits(resident,
                    run_emulated(in, kLargeDevice, streamed)));  // all of it came from the second kernel
  }
}

TEST_CASE("Scores of hundreds of epsilons") {
  for (const Mode mode : {Mode::truncated, Mode::reference}) {
    Inputs in = random_inputs({1, 1, 40, 5, 32}, mode, 200.0, false);
    in.half_iterations = 8;
    INFO("mode " << name_of(mode));
    check_output(in, run_emulated(in));
  }
}

TEST_CASE("A part without clusters and one without room") {
  Inputs in = random_inputs({1, 1, 600, 16, 32}, Mode::exact, 1.0, false);
  check_output(in, run_emulated(in, Device{1, 99 << 10}));
  in.pivots = 128;
  in.head_dim = 64;
  in = random_inputs({1, 1, 8, 128, 64}, Mode::exact, 1.0, false);
  CHECK_THROWS_WITH(run_emulated(in, Device{1, 99 << 10}),
                    lotformer::test::contains_text("bytes of shared memory"));
}

TEST_CASE("Fewer rows staged at a time, on a part with little shared memory, leave the same bits") {
  for (const bool bf16 : {false, true}) {
    const Inputs in = random_inputs({1, 1, 150, 64, 64}, Mode::exact, 1.0, bf16);
    const Results large = run_emulated(in, kLargeDevice, streamed);
    CHECK(same_bits(large, run_emulated(in, Device{8, 99 << 10}, streamed)));
    CHECK(same_bits(large, run_emulated(in, kLargeDevice, [](Plan& plan) {
                      streamed(plan);
                      plan.stage_rows = 16;
                    })));
  }
  const Inputs in = random_inputs({1, 1, 150, 64, 64}, Mode::exact, 1.0, false);
  Problem p;
  p.batch = p.heads = 1;
  p.tokens = in.tokens;
  p.pivots = in.pivots;
  p.head_dim = in.head_dim;
  CHECK(make_plan(p, kLargeDevice).stage_rows == 64);
  CHECK(make_plan(p, Device{8, 99 << 10}).stage_rows == 32);
}

TEST_CASE("What is not a number stays one, and stays in its problem") {
  Inputs in = random_inputs({2, 1, 20, 8, 32}, Mode::exact, 1.0, false);
  const Results clean = run_emulated(in);
  in.q[5] = std::nanf("");
  const Results got = run_emulated(in);
  const size_t half = in.q.size() / 2;
  CHECK(std::isnan(got.out[5]));
  CHECK(std::isnan(got.residual[0]));
  CHECK(std::equal(got.out.begin() + half, got.out.end(), clean.out.begin() + half));
  CHECK(std::equal(got.d_v.begin() + half, got.d_v.end(), clean.d_v.begin() + half));
}

TEST_CASE("Refusals say what is served") {
  const Inputs in = random_inputs({1, 1, 8, 4, 32}, Mode::exact, 1.0, false);
  const auto refused = [&](const std::function<void(Inputs&)>& change, const std::string& text) {
    Inputs other = in;
    change(other);
    CHECK_THROWS_WITH(run_emulated(other), lotformer::test::contains_text(text));
  };
  refused([](Inputs& x) { x.pivots = 129; }, "up to 128 pivots, not 129");
  refused([](Inputs& x) { x.head_dim = 66; }, "even head dimensions up to 64, not 66");
  refused([](Inputs& x) { x.mode = Mode::truncated, x.half_iterations = 1; },
          "2 to 100000 half-iterations, not 1");
  refused([](Inputs& x) { x.max_passes = 0; }, "max_passes must be at least 1");
  refused([](Inputs& x) { x.mode = Mode::truncated, x.kappa.assign(2, 1.0f); },
          "relaxed marginals are defined for mode exact only");
  refused([](Inputs& x) { x.epsilon = 0; }, "epsilon must be above 0");
}
