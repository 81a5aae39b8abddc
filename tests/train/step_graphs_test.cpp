// SPDX-License-Identifier: MIT
// A step as a function of what lives on the device: done again from the same state it gives the same bits, so
// that a recording of it may stand for it; and what StepGraphs does where it may not.
#include "train/step/step_graphs.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/tensor.h>
#include <torch/utils.h>

#include "lotformer/config/load.h"
#include "lotformer/core/error.h"
#include "lotformer/core/rng.h"
// after torch
#include "support/catch.h"

using namespace lotformer;

namespace {

constexpr int64_t kVocabulary = 11, kWidth = 24;

/// Scales by how often it has been asked, which only the host knows.
class ForgetfulAttention final : public AttentionImpl {
 public:
  ForgetfulAttention() : AttentionImpl("forgetful") {}

 private:
  at::Tensor attend(const at::Tensor&, const at::Tensor&, const at::Tensor& v, const at::Tensor&) override {
    return v * static_cast<double>(++calls_);
  }
  int64_t calls_ = 0;
};

/// As a capture: the work runs up to where it would wait for the device.
class RefusingRecorder final : public Recorder {
 public:
  std::unique_ptr<Recording> record(std::function<void()> work) override {
    work();
    TORCH_CHECK(false, "called a synchronizing CUDA operation");
  }
};
/// Records the first and refuses the second.
class RefusingOne final : public Recorder {
 public:
  static inline int64_t recorded = 0;
  std::unique_ptr<Recording> record(std::function<void()> work) override {
    TORCH_CHECK(++recorded != 2, "out of memory: injected");
    return make_recorder(c10::kCPU)->record(std::move(work));
  }
};
std::unique_ptr<Recorder> refuse_to_record(c10::Device) {
  return std::make_unique<RefusingRecorder>();
}

/// Recordings that do not outlive their recorder, as CUDA graphs do not outlive their memory.
class CountingRecorder final : public Recorder {
 public:
  static inline int64_t alive = 0, made = 0;
  CountingRecorder() { ++alive, ++made; }
  ~CountingRecorder() override { --alive; }
  std::unique_ptr<Recording> record(std::function<void()> work) override {
    return make_recorder(c10::kCPU)->record(std::move(work));
  }
};

AttentionFactory kind(const std::string& name) {
  return [name](const AttentionShape& shape) {
    const AttentionSpec& spec = find_attention(name);
    return spec.build(*spec.options(), shape);
  };
}

template <class Attention>
AttentionFactory own() {
  return [](const AttentionShape&) { return std::make_shared<Attention>(); };
}

Session make_session(const AttentionFactory& attention, const std::string& precision = "fp32") {
  Session session;
  session.precision = precision;
  session.config.train.batch_size = 3;
  session.config.train.clip = 1;
  torch::manual_seed(1);
  ClassifierOptions options;
  options.encoder = {kVocabulary, kWidth, 2, 16, 2, 8, 24, /*dropout=*/0.1};
  options.classes = 4;
  session.model = std::make_shared<ClassifierImpl>(options, attention);
  session.model->train();
  return session;
}

/// Step `number` of a training whose batches have two shapes.
std::vector<Batch> chunks_of(int64_t number) {
  torch::manual_seed(100 + static_cast<uint64_t>(number));
  Batch batch;
  batch.ids = at::randint(1, kVocabulary, {1, 3, number % 2 == 0 ? kWidth : kWidth - 8}, at::kLong);
  batch.lengths = at::tensor({16 - number % 5, int64_t{3}, 9 + number % 7}, at::kLong).unsqueeze(0);
  batch.labels = at::randint(0, 4, {3}, at::kLong);
  batch.token_slots = 40;
  return {batch};
}

std::vector<at::Tensor> values_of(const TrainingStep& step) {
  std::vector<at::Tensor> values;
  for (const at::Tensor& tensor : step.tensors()) values.push_back(tensor.detach().clone());
  return values;
}

bool same(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const at::Tensor& x, const at::Tensor& y) {
    return x.equal(y) || (x.isnan().all().item<bool>() && y.isnan().all().item<bool>());
  });
}

void same_seed() {
  torch::manual_seed(3);
}

StepGraphs::Work usual_way(TrainingStep& step, std::function<void()> seed) {
  return [&step, seed = std::move(seed)](const std::vector<Batch>& chunks, bool look) {
    seed();
    return step.run(chunks, look);
  };
}

/// What is seen of a step, one number behind the other with its name.
std::vector<std::pair<std::string, double>> numbers_of(const StepSight& sight) {
  std::vector<std::pair<std::string, double>> numbers;
  if (const auto transport = sight.transport.count())
    numbers = {{"problems", static_cast<double>(transport->problems)},
               {"unconverged", static_cast<double>(transport->unconverged)},
               {"residual", transport->residual}};
  for (const auto& [layer, records] : sight.solver) {
    for (const auto& [name, value] : read_numbers(records)) numbers.emplace_back(layer + " " + name, value);
  }
  return numbers;
}

/// Eight steps; the state at their end, and how many recordings there were.
std::pair<std::vector<at::Tensor>, int64_t> train(const AttentionFactory& attention, GraphPolicy policy,
                                                  StepGraphs::MakeRecorder recorder = &make_recorder) {
  Session session = make_session(attention);
  TrainingStep step(session);
  int64_t number = 0;
  const auto seed = [&number] { torch::manual_seed(mix_seeds(7, static_cast<uint64_t>(number))); };
  StepGraphs graphs(step, policy, seed, usual_way(step, seed), recorder);
  for (; number < 8; ++number) {
    step.prepare(number, 1e-3 * static_cast<double>(number + 1));
    graphs.run(chunks_of(number));
  }
  return {values_of(step), graphs.recordings()};
}

}  // namespace

TEST_CASE("a step from the same state has the same outcome, and changes nothing but what it lists",
          "[graph]") {
  for (const AttentionSpec& spec : attention_specs()) {
    for (const char* precision : {"fp32", "fp16"}) {  // fp16: the loss scale is part of the state
      INFO(spec.kind << " " << precision);
      Session session = make_session(kind(spec.kind), precision);
      session.precision = "fp32";  // of the arithmetic; the scaler is there already
      TrainingStep step(session);
      const std::vector<Batch> chunks = chunks_of(0);
      const auto run = [&] {
        torch::manual_seed(5);
        step.run(chunks);
        return values_of(step);
      };
      step.prepare(0, 1e-2);
      run();  // so that no state is zero
      const std::vector<at::Tensor> before = values_of(step), first = run();
      CHECK_FALSE(same(before, first));
      {
        const at::NoGradGuard no_grad;
        const std::vector<at::Tensor> tensors = step.tensors();
        for (size_t i = 0; i < tensors.size(); ++i) tensors[i].copy_(before[i]);
      }
      CHECK(same(run(), first));
    }
  }
}

TEST_CASE("training with recordings has the bits of training without", "[graph]") {
  for (const AttentionSpec& spec : attention_specs()) {
    INFO(spec.kind);
    const auto [with, recordings] = train(kind(spec.kind), GraphPolicy::required);
    const auto [without, none] = train(kind(spec.kind), GraphPolicy::off);
    CHECK(recordings == 2);  // one a shape
    CHECK(none == 0);
    CHECK(same(with, without));
  }
  CHECK(graph_policy("auto", c10::kCPU) == GraphPolicy::off);
  CHECK(graph_policy("on", c10::kCPU) == GraphPolicy::required);
  CHECK(graph_policy("auto", c10::Device(c10::kCUDA, 0)) == GraphPolicy::where_possible);
}

TEST_CASE("what is seen of a step that is played back is what is seen of it in the usual way", "[graph]") {
  for (const char* module : {"lotformer", "softmax"}) {
    INFO(module);
    std::vector<std::vector<std::pair<std::string, double>>> with, without;
    for (auto* seen : {&with, &without}) {
      Session session = make_session(kind(module));
      TrainingStep step(session);
      StepGraphs graphs(step, seen == &with ? GraphPolicy::required : GraphPolicy::off, &same_seed,
                        usual_way(step, &same_seed));
      for (int64_t number = 0; number < 18; ++number) {
        step.prepare(number, 1e-2);
        seen->push_back(numbers_of(graphs.run(chunks_of(number), /*look=*/number % 3 == 2)));
      }
      CHECK(graphs.recordings() == (seen == &with ? 4 : 0));  // two shapes, looked at and not
    }
    CHECK(with == without);
    const bool solves = module == std::string("lotformer");
    REQUIRE(without[16].empty() == !solves);
    if (!solves) continue;
    CHECK(without[17].size() > without[16].size());  // looked at
    CHECK(without[17] != without[14]);
    CHECK(without[16][0].second > 0);
  }
}

TEST_CASE("a count of problems keeps what a recording later writes over", "[graph]") {
  SolverTally seen, sum;
  seen.restart(TransportCount{4, 1, 0.5});
  sum.add(seen);
  const at::NoGradGuard no_grad;
  seen.unconverged().fill_(9);
  seen.residual().fill_(9);
  CHECK(sum.count()->unconverged == 1);
  CHECK(sum.count()->residual == 0.5);
}

TEST_CASE("a logged step that cannot be recorded leaves the recordings of the others", "[graph]") {
  Session session = make_session(kind("mean"));
  TrainingStep step(session);
  RefusingOne::recorded = 0;
  StepGraphs graphs(step, GraphPolicy::where_possible, &same_seed, usual_way(step, &same_seed),
                    [](c10::Device) -> std::unique_ptr<Recorder> { return std::make_unique<RefusingOne>(); });
  for (int64_t number = 0; number < 12; ++number) {
    step.prepare(number, 1e-3);
    graphs.run(chunks_of(0), /*look=*/number % 3 == 2);
  }
  CHECK(RefusingOne::recorded == 2);  // tried once
  CHECK(graphs.recordings() == 1);
  CHECK(graphs.may_play_back());
}

TEST_CASE("a step that cannot be recorded, or that a recording does not repeat, is not played back",
          "[graph]") {
  const auto required = GraphPolicy::required, where_possible = GraphPolicy::where_possible;
  CHECK_THROWS_WITH(
      train(own<ForgetfulAttention>(), required),
      test::contains_text("train.graph: on") && test::contains_text("the recorded step is another"));
  CHECK(train(own<ForgetfulAttention>(), where_possible).second == 0);
  CHECK_THROWS_WITH(
      train(kind("mean"), required, &refuse_to_record),
      test::contains_text("cannot be recorded") && test::contains_text("synchronizing CUDA operation"));
  const auto [values, recordings] = train(kind("mean"), where_possible, &refuse_to_record);
  CHECK(recordings == 0);
  CHECK(same(values, train(kind("mean"), GraphPolicy::off).first));
}

TEST_CASE("recordings are dropped when parameters take other shapes", "[graph]") {
  Session session = make_session(kind("mean"));
  TrainingStep step(session);
  CountingRecorder::made = 0;
  {
    StepGraphs graphs(
        step, GraphPolicy::required, &same_seed, usual_way(step, &same_seed),
        [](c10::Device) -> std::unique_ptr<Recorder> { return std::make_unique<CountingRecorder>(); });
    for (const int64_t round : {1, 2}) {
      for (int64_t number = 0; number < 4; ++number) {
        step.prepare(number, 1e-3);
        graphs.run(chunks_of(0));
      }
      CHECK(graphs.recordings() == 1);
      CHECK(CountingRecorder::made == round);  // what comes after forget() has memory of its own
      graphs.forget();
      CHECK(graphs.recordings() == 0);
      CHECK(CountingRecorder::alive == 0);
    }
  }
}

TEST_CASE("shapes that come once take no place of those that come often", "[graph]") {
  Session session = make_session(kind("mean"));
  TrainingStep step(session);
  StepGraphs graphs(step, GraphPolicy::required, &same_seed, usual_way(step, &same_seed));
  for (int64_t slots = 41; slots < 41 + 70; ++slots) {
    std::vector<Batch> rare = chunks_of(0);
    rare[0].token_slots = slots;
    graphs.run(rare);
  }
  for (int64_t number = 0; number < 4; ++number) graphs.run(chunks_of(0));
  CHECK(graphs.recordings() == 1);
}

TEST_CASE("two towers and a class token in rows of tokens: the logits of the packed layout", "[graph]") {
  for (const PoolingKind pooling : {PoolingKind::mean, PoolingKind::cls, PoolingKind::attention}) {
    torch::manual_seed(2);
    ClassifierOptions options;
    options.encoder = {kVocabulary, kWidth, 1, 16, 2, 8, 24, 0.0};
    options.classes = 4;
    options.sequences = 2;
    options.pooling = pooling;
    ClassifierImpl model(options, kind("softmax"));
    model.to(at::kDouble);
    Batch batch = chunks_of(0)[0];
    batch.ids = at::cat({batch.ids, batch.ids.flip(2)});
    batch.lengths = at::cat({batch.lengths, batch.lengths.flip(1)});
    batch.token_slots = 0;
    const at::Tensor packed = model.forward(batch);
    batch.token_slots = 2 * 40;
    CHECK((model.forward(batch) - packed).abs().max().item<double>() < 1e-12);
  }
}
