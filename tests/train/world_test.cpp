// SPDX-License-Identifier: MIT
// What processes that train one model do together, here in threads; tests/mpi has real processes.
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <torch/utils.h>

#include <mutex>
#include <numeric>

#include "lotformer/ops/dropout.h"
#include "train/optimizer.h"
#include "train/score/scored_batches.h"
#include "train/thread_world.h"
#include "train/world/agreement.h"
// after torch
#include "support/catch.h"

using namespace lotformer;
using namespace lotformer::test;

TEST_CASE("an error of one process is one of all, and the lowest that has one says it", "[world]") {
  const auto ends = in_threads(4, [](const World& world) {
    agree(world, [&] {
      if (world.rank() == 1) throw Error(ErrorKind::data, "the first");
      if (world.rank() == 3) throw Error(ErrorKind::disk, "the second");
    });
  });
  CHECK(ends ==
        std::vector<std::string>{"followed 1 with 3", "the first", "followed 1 with 3", "followed 1 with 3"});
  const auto good = in_threads(3, [](const World& world) {
    int done = 0;
    lead(world, [&] { ++done; });
    if (done != (world.leads() ? 1 : 0)) throw std::logic_error("the work of the first");
  });
  CHECK(good == std::vector<std::string>(3));
}

TEST_CASE("a value that differs is refused with the rank that has it", "[world]") {
  const auto ends = in_threads(3, [](const World& world) {
    require_same(world, "the build", "1.0");
    require_same(world, "the device", world.rank() == 2 ? "cpu" : "cuda");
  });
  CHECK_THAT(ends[0], contains_text("the device of rank 2 is 'cpu', that of rank 0 is 'cuda'"));
}

TEST_CASE("configurations are compared key by key, where data lie apart", "[world]") {
  const auto refused = [](const std::function<void(Config&)>& change) {
    return in_threads(2, [&](const World& world) {
      Config config;
      config.train.batch_size = 4;
      if (world.rank() == 1) change(config);
      require_same_experiment(world, config);
    });
  };
  CHECK(refused([](Config& config) { config.data.root = "elsewhere"; }) == std::vector<std::string>(2));
  const auto ends = refused([](Config& config) {
    config.train.lr = 0.25;
    config.train.eval_every = 7;
  });
  CHECK(ends[0] == "followed 1 with 2");
  CHECK_THAT(ends[1], contains_text("train.lr is 0.25 and"));
  CHECK_THAT(ends[1], contains_text("train.eval_every is 7 and"));
}

TEST_CASE("scored batches come together in their order, the loss to the last bit", "[world]") {
  torch::manual_seed(3);
  std::vector<at::Tensor> logits, labels;
  for (const int64_t rows : {5, 5, 5, 5, 2}) {
    logits.push_back(at::randn({rows, 4}));
    labels.push_back(at::zeros({rows}, at::kLong));
  }
  ScoredBatches whole;
  for (size_t b = 0; b < logits.size(); ++b) whole.add(logits[b], labels[b]);
  const ScoredBatches::All expected = whole.gather(*lone_world());
  for (const int64_t size : {2, 3, 7}) {  // with 7 two have nothing
    const auto ends = in_threads(size, [&](const World& world) {
      ScoredBatches mine;
      for (auto b = static_cast<size_t>(world.rank()); b < logits.size(); b += static_cast<size_t>(size))
        mine.add(logits[b], labels[b]);
      const ScoredBatches::All all = mine.gather(world);
      if (all.loss != expected.loss) throw std::logic_error("another loss");
      if (!all.classes.equal(expected.classes)) throw std::logic_error("other classes");
      if (!all.logits.equal(expected.logits)) throw std::logic_error("other logits");
    });
    CHECK(ends == std::vector<std::string>(static_cast<size_t>(size)));
  }
}

TEST_CASE("gradients are views of one tensor, also after a parameter has changed its shape", "[world]") {
  at::Tensor a = at::randn({3, 5}).set_requires_grad(true), b = at::randn({2, 7, 1}).set_requires_grad(true);
  AdamW optimizer({{"a", a}, {"b", b}}, TrainConfig{});
  const auto check = [&] {
    optimizer.zero_grad();
    (a.sum() * 2 + b.sum() * 3).backward();
    (a.sum() * 2).backward();
    CHECK(a.grad().eq(4).all().item<bool>());
    CHECK(b.grad().eq(3).all().item<bool>());
    CHECK(optimizer.all_gradients().sum().item<float>() == static_cast<float>(4 * a.numel() + 3 * b.numel()));
    optimizer.all_gradients().fill_(7);
    CHECK(a.grad().eq(7).all().item<bool>());
    CHECK(b.grad().eq(7).all().item<bool>());
  };
  check();
  a.set_data(at::randn({3, 4}));
  optimizer.follow("a", at::ones({3, 4, 5}) / 5);
  check();
}

TEST_CASE("streams of dropout drop other values and leave other draws alone", "[world]") {
  const at::Tensor x = at::ones({1000});
  const auto drawn = [&](uint64_t stream) {
    ops::set_dropout_stream(stream);
    torch::manual_seed(5);
    at::Tensor dropped = ops::dropout(x, 0.5, true);
    at::Tensor next = at::randn({4});
    ops::set_dropout_stream(0);
    return std::pair(dropped, next);
  };
  const auto [first, next] = drawn(0);
  const auto [second, next2] = drawn(1);
  const auto [third, next3] = drawn(2);
  CHECK(next.equal(next2));
  CHECK(next.equal(next3));
  CHECK_FALSE(first.equal(second));
  CHECK_FALSE(second.equal(third));
  // Independent: a quarter is dropped by both.
  CHECK(first.eq(0).logical_and(second.eq(0)).sum().item<int64_t>() > 180);
  CHECK(first.eq(0).logical_and(second.eq(0)).sum().item<int64_t>() < 320);
}

TEST_CASE("shares cover everything once", "[world]") {
  for (const int64_t size : {1, 2, 3, 8}) {
    int64_t next = 0;
    for (int64_t rank = 0; rank < size; ++rank) {
      const Share share = share_of(19, rank, size);
      CHECK(share.first == next);
      CHECK(share.end - share.first >= 19 / size);
      next = share.end;
    }
    CHECK(next == 19);
  }
}
