// SPDX-License-Identifier: MIT
// Lines of the training log. On a device the numbers of a line are copied to the host while the next step
// runs, and the line is written behind that: no step waits to be looked at.
#include <algorithm>

#include "lotformer/core/log.h"
#include "lotformer/core/text.h"
#include "trainer.h"

namespace lotformer {
namespace {

/// Takes numbers from the front.
class Reader {
 public:
  explicit Reader(std::span<const double> rest) : rest_(rest) {}
  std::span<const double> next(size_t count) {
    const auto taken = rest_.first(count);
    rest_ = rest_.subspan(count);
    return taken;
  }
  double next() { return next(1)[0]; }
  int64_t next_count() { return static_cast<int64_t>(next()); }

 private:
  std::span<const double> rest_;
};

}  // namespace

/// What a line is made of, in the order in which write_line() takes it.
std::vector<at::Tensor> Trainer::logged_numbers(const StepSight& sight, const SolverTally& transport) {
  std::vector<at::Tensor> numbers = {step_.window().sums(), step_.watch().bad_step_there(),
                                     step_.watch().count_there()};
  if (step_.scaler().enabled()) numbers.push_back(step_.scaler().scale());
  if (transport.problems() > 0) {
    numbers.push_back(transport.unconverged());
    numbers.push_back(transport.residual());
  }
  for (const auto& [layer, records] : sight.solver) {
    for (const auto& [name, value] : records) numbers.push_back(value);
  }
  return numbers;
}

void Trainer::log_if_due(const StepSight& sight) {
  const bool log_now = log_due(state_.step);
  if (log_now) {
    const SolverTally transport = transport_.over(world_, session_.device);
    PendingLine line{state_.step,
                     lr_of(state_.step - 1),
                     static_cast<int64_t>(sum(world_, {static_cast<double>(log_.take_tokens())})[0]),
                     step_.window().counts(),
                     transport.problems(),
                     {},
                     LateNumbers(logged_numbers(sight, transport))};
    for (const auto& [layer, records] : sight.solver) {
      for (const auto& [name, value] : records) line.solver_names.emplace_back(layer, name);
    }
    line_.emplace(std::move(line));
    transport_.restart();
    step_.window().reset();
  }
  if (session_.device.is_cuda() || graphs_.may_play_back()) return;
  write_line();
  stop_if_not_finite();  // on a GPU reading it would wait for the device at every step
}

void Trainer::write_line() {
  if (!line_) return;
  PendingLine line = std::move(*line_);
  line_.reset();
  const std::vector<double> numbers = line.numbers.read();
  Reader reader(numbers);
  const LogWindow::Means means = LogWindow::means(reader.next(5), line.counts);
  const int64_t bad_step = reader.next_count();
  const FiniteWatch::Count skips = {reader.next_count(), reader.next_count(), reader.next_count()};
  const double scale = step_.scaler().enabled() ? reader.next() : 1;
  std::optional<TransportCount> transport;
  if (line.problems > 0) transport = {line.problems, reader.next_count(), reader.next()};
  Json solver = Json::object();
  for (size_t i = 0; i < line.solver_names.size();) {
    const std::string& layer = line.solver_names[i].first;
    Diagnostics records;
    for (; i < line.solver_names.size() && line.solver_names[i].first == layer; ++i)
      records.emplace_back(line.solver_names[i].second, reader.next());
    solver[layer] = to_json(records);
  }

  if (bad_step >= 0) stop_if_not_finite();
  log_.train_step({line.step, sampler_.epoch_of(batch_of(line.step - 1)), line.lr, line.tokens, means, solver,
                   transport});
  tell_of_skips(line.step, skips, means.skipped, scale);
  if (transport && transport->alarming() && !warned_of_transport_) {
    warned_of_transport_ = true;
    log_.finish_line();
    warn_if_alarming(concat("since the line before step ", line.step), *transport);
  }
  warn_of_plateau(line.step, means);
}

/// Once for what is new since the line before.
void Trainer::tell_of_skips(int64_t step, const FiniteWatch::Count& skips, int64_t skipped, double scale) {
  if (config_.on_nonfinite == "skip" && skips.all > told_skips_) {
    log_.finish_line();
    log::warning(concat("step ", step, ": ", skips.all - told_skips_,
                        " updates left out since the line before, because loss or gradient was not finite; "
                        "the last at step ",
                        skips.last, ", training rows ", rows_of(skips.last)));
    told_skips_ = skips.all;
  }
  if (!step_.scaler().enabled() || skipped == 0 || warned_of_scale_ || scale >= 1) return;
  warned_of_scale_ = true;
  log_.finish_line();
  log::warning(concat("step ", step, ": the loss scale has fallen to ", scale,
                      ": gradients overflow fp16 again and again; below ", LossScaler::kCollapsed,
                      " that counts as not finite. train.precision=bf16 or fp32 has the range"));
}

void Trainer::warn_of_plateau(int64_t step, const LogWindow::Means& means) {
  if (means.examples == 0) return;
  const auto message =
      plateau_.add(step, means.accuracy * static_cast<double>(means.examples), means.examples);
  if (!message) return;
  log_.finish_line();
  log::warning(*message);
}

}  // namespace lotformer
