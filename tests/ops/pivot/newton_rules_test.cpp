// SPDX-License-Identifier: MIT
// The rules that the CPU and the CUDA core share, one by one.
#include "ops/pivot/newton_rules.h"

#include <cmath>
#include <limits>

#include "support/catch.h"

using namespace lotformer::ops::pivot::rules;

namespace {

using Cpu = Limits<float, NaturalLogarithms, double>;
using Gpu = Limits<float, PowersOfTwo, float>;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Course<double> course_with(double best, double omega, int failures = 0) {
  return {best, omega, failures, 0};
}

bool near(double a, double b) {
  return std::abs(a - b) <= 1e-6 * std::abs(b);
}

}  // namespace

TEST_CASE("rules: limits in natural logarithms and in powers of two are the same lengths") {
  CHECK(Cpu::kLongestStep == 40);
  CHECK(near(Gpu::kLongestStep * std::log(2.0), 40));
  CHECK(Cpu::kDualNoise == 1e-6);
  CHECK(near(Gpu::kDualNoise * std::log(2.0), 1e-6));
  CHECK(near(Gpu::kFloor, Cpu::kFloor));
  CHECK(near(Gpu::kLeastDamping, Cpu::kLeastDamping));
  CHECK(Limits<double, NaturalLogarithms, double>::kDualNoise == 1e-14);
}

TEST_CASE("rules: a trial is accepted for half the best residual, the sure gain, or the tolerance") {
  const double tolerance = 1e-4, sure = 0.01, little = 0.5e-6;
  const auto accepted = [&](const Trial<double>& trial, double best = 0.1, double residual = 0.1) {
    return accepts<Cpu>(course_with(best, 0.1), trial, residual, tolerance);
  };
  CHECK(accepted({0.05, -1, sure, false}));
  CHECK_FALSE(accepted({0.0501, -1, sure, false}));
  CHECK_FALSE(accepted({0.05, -1, sure, false}, 0.09));
  CHECK(accepted({0.2, sure, sure, false}));
  CHECK_FALSE(accepted({0.09, 0.99 * sure, sure, false}));
  // Below the noise the dual has no say: the residual must become smaller by a hundredth.
  CHECK(accepted({0.0989, -1, little, false}));
  CHECK_FALSE(accepted({0.0991, 1, little, false}));
  CHECK(accepted({tolerance, -1, sure, false}, 1.5e-4));
  CHECK_FALSE(accepted({1.01 * tolerance, -1, sure, false}, 1.5e-4));
  // A Sinkhorn step is what there is to fall back on.
  CHECK(accepted({0.3, -1, sure, true}));
  CHECK_FALSE(accepted({kNan, kNan, sure, false}));
  CHECK_FALSE(accepted({kNan, kNan, little, false}));
}

TEST_CASE("rules: damping falls with success, rises with failure, and ends in a Sinkhorn step") {
  Course<double> course = first_course(0.4, true);
  CHECK(course.sinkhorn);
  CHECK_FALSE(first_course(0.4, false).sinkhorn);
  CHECK(course.best == 0.4);
  CHECK(course.omega == 0.1);
  note_accepted(course, {0.5, 0, 0, true});
  CHECK(course.best == 0.4);  // the smallest of an accepted point, not the last
  CHECK(course.omega == 0.1);
  CHECK_FALSE(course.sinkhorn);
  note_accepted(course, {0.2, 0, 0, false});
  CHECK(course.best == 0.2);
  CHECK(near(course.omega, 0.01));
  note_rejected(course);
  CHECK(near(course.omega, 0.1));
  CHECK(course.failures == 1);
  CHECK_FALSE(course.sinkhorn);
  note_rejected(course);
  CHECK(course.omega == 0.3);
  CHECK(course.failures == 2);
  CHECK(course.sinkhorn);
  note_accepted(course, {0.1, 0, 0, true});
  CHECK(course.omega == 0.3);
  CHECK(course.failures == 0);
  // However small the damping has become, three failures reach the Sinkhorn step.
  course.omega = 1e-9;
  note_rejected(course);
  CHECK(near(course.omega, 1e-2));
}

TEST_CASE("rules: float and double take the same course") {
  for (int decisions = 0; decisions < 1 << 14; ++decisions) {
    Course<double> wide = first_course(1.0, true);
    Course<float> narrow = first_course(1.0f, true);
    for (int i = 0; i < 14; ++i) {
      const bool sinkhorn = wide.sinkhorn != 0, accept = sinkhorn || ((decisions >> i) & 1) != 0;
      if (accept) {
        note_accepted(wide, {1, 0, 0, sinkhorn});
        note_accepted(narrow, {1, 0, 0, sinkhorn});
      } else {
        note_rejected(wide);
        note_rejected(narrow);
      }
      if (wide.sinkhorn == narrow.sinkhorn && wide.failures == narrow.failures) continue;
      INFO("decisions " << decisions << ", step " << i);
      CHECK(wide.sinkhorn == narrow.sinkhorn);
      return;
    }
  }
}

TEST_CASE("rules: theta keeps the least damping") {
  CHECK(theta<Cpu>(0.25) == 0.75);
  CHECK(theta<Cpu>(0) == 1 - 1e-5);
  CHECK(theta<Gpu>(0) == 1 - 1e-5f);
}

TEST_CASE("rules: a Newton step is bounded on both sides") {
  CHECK(bounded<Cpu>(39.5) == 39.5);
  CHECK(bounded<Cpu>(-39.5) == -39.5);
  CHECK(bounded<Cpu>(41) == 40);
  CHECK(bounded<Cpu>(-1e30) == -40);
  CHECK(bounded<Gpu>(57.5f) == 57.5f);
  CHECK(near(bounded<Gpu>(58), 57.7078));
  CHECK(near(bounded<Gpu>(-58), -57.7078));
}

TEST_CASE("rules: two failures in a row at the floor of the precision end a problem") {
  const double epsilon = std::numeric_limits<float>::epsilon(), floor = 4 * epsilon * (1 + 20);
  CHECK(stalled<Cpu>(course_with(1, 0.1, 2), 0.99 * floor, 20));
  CHECK_FALSE(stalled<Cpu>(course_with(1, 0.1, 2), 1.01 * floor, 20));
  CHECK_FALSE(stalled<Cpu>(course_with(1, 0.1, 1), 0.99 * floor, 20));
  CHECK_FALSE(stalled<Cpu>(course_with(1, 0.1, 2), kNan, 20));
  // The same potential in powers of two.
  const float bits = static_cast<float>(20 / std::log(2.0));
  const auto on_gpu = [&](double residual) {
    return stalled<Gpu>(Course<float>{1, 0.1f, 2, 0}, static_cast<float>(residual), bits);
  };
  CHECK(on_gpu(0.99 * floor));
  CHECK_FALSE(on_gpu(1.01 * floor));
}

TEST_CASE("rules: only what is above the tolerance goes on, and no NaN does") {
  CHECK(unsolved(1.1e-4, 1e-4));
  CHECK_FALSE(unsolved(1e-4, 1e-4));
  CHECK_FALSE(unsolved(kNan, 1e-4));
  CHECK(lowers(0.9, 1.0));
  CHECK_FALSE(lowers(1.0, 1.0));
  CHECK_FALSE(lowers(kNan, 1.0));
  CHECK_FALSE(lowers(1.0, kNan));
}

TEST_CASE("rules: with few passes, or few tokens too, all steps are Sinkhorn steps") {
  const auto only = [](int passes, double tokens) { return sinkhorn_only(passes, tokens, 16); };
  CHECK(only(3, 1e6));
  CHECK_FALSE(only(4, 1e6));
  CHECK(only(4, 127));
  CHECK_FALSE(only(4, 128));
  CHECK(only(15, 127));
  CHECK_FALSE(only(16, 127));
}

TEST_CASE("rules: the published clamp is 50 before epsilon divides it") {
  CHECK(near(published_bound(0.1), 50 / 0.1 / std::log(2.0)));
}

TEST_CASE("rules: without a price every step is Newton's") {
  const Pace<double> fast{1e-3, 1e-3, 1};
  for (const double price : {0.0, 1.0}) CHECK(newton_pays(price, fast, 0.1, 1e-4, 30));
}

TEST_CASE("rules: a Newton step pays where the steps that it spares cost more") {
  const auto pace = [](double factor) { return Pace<double>{factor, factor, 1}; };
  // From 0.01 a Newton step is foreseen to be enough: seven passes at a price of 7. Six or seven others do it
  // at a factor of 1/2, more at 0.6.
  CHECK(newton_steps_foreseen(0.01, 1e-4) == 1);
  CHECK_FALSE(newton_pays(7.0, pace(0.5), 0.01, 1e-4, 30));
  CHECK(newton_pays(7.0, pace(0.6), 0.01, 1e-4, 30));
  CHECK(newton_pays(5.0, pace(0.5), 0.01, 1e-4, 30));
  // Further away it takes more Newton steps, too.
  CHECK(newton_steps_foreseen(0.099, 1e-4) == 2);
  CHECK(newton_steps_foreseen(0.11, 1e-4) == 3);
  CHECK_FALSE(newton_pays(7.0, pace(0.6), 0.099, 1e-4, 30));
  CHECK(newton_pays(7.0, pace(0.62), 0.099, 1e-4, 30));
  // Passes that are not left are not foreseen.
  CHECK_FALSE(newton_pays(7.0, pace(0.5), 0.01, 1e-4, 7));
  CHECK(newton_pays(7.0, pace(0.5), 0.01, 1e-4, 6));
  // The mean of two factors counts, and none at all says nothing against the cheaper step.
  CHECK_FALSE(newton_pays(7.0, Pace<double>{0.9, 0.25, 1}, 0.01, 1e-4, 30));
  CHECK_FALSE(newton_pays(7.0, Pace<double>{}, 1.0, 1e-4, 30));
  CHECK(newton_pays(7.0, pace(1), 0.01, 1e-4, 30));
  CHECK(newton_pays(7.0, pace(kNan), 0.01, 1e-4, 30));
}

TEST_CASE("rules: a mixed step is foreseen to do what two Sinkhorn steps do") {
  Pace<double> pace{};
  note_pace(pace, 0.5);
  CHECK((pace.last == 0.25 && pace.before == 0.25));
  note_pace(pace, 0.3);
  CHECK((pace.last == 0.3 && pace.before == 0.25));
  note_pace(pace, 0.2);
  CHECK((pace.last == 0.2 && pace.before == 0.3));
}

TEST_CASE("rules: a rejected mixed step is followed by a Sinkhorn step and leaves the damping alone") {
  Course<double> course = course_with(0.1, 0.02);
  note_mixed_rejected(course);
  CHECK(course.sinkhorn == 1);
  CHECK(course.failures == 1);
  CHECK(course.omega == 0.02);
}

TEST_CASE("rules: the weights of a mixed step make the rest of the Sinkhorn step smallest") {
  // g = 2 d0 - 3 d1 + rest, with d0 = (1, 0, 0, 0), d1 = (1, 1, 0, 0), d2 = (0, 0, 2, 0), rest = (0, 0, 0,
  // 5).
  double products[kMixed][kMixed] = {{1, 1, 0}, {0, 2, 0}, {0, 0, 4}}, right[kMixed] = {-1, -4, 0},
         weights[kMixed];
  mixed_weights(products, right, weights);
  CHECK(std::abs(weights[0] - 2) < 1e-3);
  CHECK(std::abs(weights[1] + 3) < 1e-3);
  CHECK(weights[2] == 0);
  // Differences that are not there, and the same one twice.
  double few[kMixed][kMixed] = {{4, 4, 0}, {0, 4, 0}, {0, 0, 0}}, side[kMixed] = {2, 2, 0};
  mixed_weights(few, side, weights);
  CHECK(std::abs(weights[0] + weights[1] - 0.5) < 1e-3);
  CHECK(std::abs(weights[0]) < 1);
  CHECK(weights[2] == 0);
}
